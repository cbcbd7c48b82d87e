// Anthropic's client for JavaScript, over /v1/messages.
import Anthropic from "@anthropic-ai/sdk";

const made = ({ url = URL_, ...fields } = {}) =>
  new Anthropic({ baseURL: url.replace(/\/v1$/, ""), apiKey: KEY, maxRetries: 0, ...fields });
const client = made();
const tools = [{ name: "get_weather", description: "The weather of a city", input_schema: SCHEMA }];
const asked = (text, fields = {}) => ({ model: MODEL, max_tokens: 200, messages: user(text), ...fields });
const ask = (text, fields, by = client) => by.messages.create(asked(text, fields));
const said = async (...all) => (await ask(...all)).content[0].text;
const names = async (text, fields = {}) =>
  (await ask(text, { tools, ...fields })).content.flatMap((block) => (block.type === "tool_use" ? [block.name] : []));

await run({ "Anthropic's API has none": "logprobs n seed" }, {
  list: async () => assert.ok((await client.models.list()).data.some((each) => each.id === MODEL)),
  chat: async () => assert.equal(await said(HELLO), HELLO),
  stream: async () => assert.equal(await client.messages.stream(asked(HELLO)).finalText(), HELLO),
  usage: async () => {
    const message = await client.messages.stream(asked(HELLO)).finalMessage();
    assert.equal(message.usage.output_tokens, HELLO_TOKENS);
  },
  auto: async () => assert.deepEqual(await names("one"), ["get_weather"]),
  required: async () => assert.deepEqual(await names("x", { tool_choice: { type: "any" } }), ["get_weather"]),
  named: async () =>
    assert.deepEqual(await names("x", { tool_choice: { type: "tool", name: "get_weather" } }), ["get_weather"]),
  parallel: async () => assert.equal((await names("both")).length, 2),
  result: async () => {
    const first = await ask("one", { tools });
    const told = { type: "tool_result", tool_use_id: first.content.at(-1).id, content: "warm" };
    const messages = [...user("one"), { role: "assistant", content: first.content }, { role: "user", content: [told] }];
    assert.equal(await said("", { tools, messages }), WARM);
  },
  schema: async () => {
    const output_config = { format: { type: "json_schema", schema: SCHEMA } };
    assert.equal(typeof JSON.parse(await said("x", { output_config })).city, "string");
  },
  stop: async () => assert.equal(await said(STOPPED, { stop_sequences: [STOP] }), BEFORE_STOP),
  cancel: stops(async () => {
    const stream = client.messages.stream(asked(LONG, { max_tokens: 60000 }));
    for await (const event of stream) if (event.type === "content_block_delta") break;
    stream.abort();
  }),
  wrong_key: wrongKey(() => ask(HELLO, {}, made({ apiKey: WRONG_KEY }))),
  wrong_model: wrongModel(() => ask(HELLO, { model: WRONG_MODEL })),
  retry: async () => assert.equal(await said(HELLO, {}, made({ url: BUSY_URL, maxRetries: 8 })), HELLO),
  asynchronous: async () => assert.deepEqual(await Promise.all([said(HELLO), said("b")]), [HELLO, "b"]),
});
