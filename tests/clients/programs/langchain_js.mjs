// LangChain for JavaScript.
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";

const model = ({ name = MODEL, key = KEY, url = URL_, ...fields } = {}) =>
  new ChatOpenAI({ model: name, apiKey: key, configuration: { baseURL: url }, maxRetries: 0, ...fields });
const said = async (text, fields) => (await model(fields).invoke(text)).text;
const bound = (fields = {}) => model().bindTools([TOOL], fields);
const names = async (text, fields) => (await bound(fields).invoke(text)).tool_calls.map((call) => call.name);

await run({ "lists no models": "list" }, {
  chat: async () => assert.equal(await said(HELLO), HELLO),
  stream: async () => {
    let text = "";
    for await (const part of await model().stream(HELLO)) text += part.text;
    assert.equal(text, HELLO);
  },
  usage: async () => {
    const told = [];
    for await (const part of await model({ streamUsage: true }).stream(HELLO)) told.push(part.usage_metadata);
    assert.equal(told.filter(Boolean).at(-1).output_tokens, HELLO_TOKENS);
  },
  auto: async () => assert.deepEqual(await names("one"), ["get_weather"]),
  required: async () => assert.deepEqual(await names("x", { tool_choice: "required" }), ["get_weather"]),
  named: async () => assert.deepEqual(await names("x", { tool_choice: "get_weather" }), ["get_weather"]),
  parallel: async () => assert.equal((await names("both", { parallel_tool_calls: true })).length, 2),
  result: async () => {
    const first = await bound().invoke("one");
    const told = new ToolMessage({ content: "warm", tool_call_id: first.tool_calls[0].id });
    assert.equal((await bound().invoke([new HumanMessage("one"), first, told])).text, WARM);
  },
  schema: async () => {
    const made = model().withStructuredOutput(SCHEMA, { method: "jsonSchema", name: "weather" });
    assert.equal(typeof (await made.invoke("x")).city, "string");
  },
  stop: async () => assert.equal(await said(STOPPED, { stop: [STOP] }), BEFORE_STOP),
  logprobs: async () => {
    const answer = await model({ logprobs: true, topLogprobs: 2 }).invoke(HELLO);
    assert.ok(answer.response_metadata.logprobs.content.length >= HELLO.length);
  },
  n: async () => assert.equal((await model({ n: 3 }).generate([[new HumanMessage(HELLO)]])).generations[0].length, 3),
  seed: async () => assert.equal((await model().invoke(WHICH_SEED, { seed: SEED })).text, `${SEED}`),
  cancel: stops(async () => {
    const leaving = new AbortController();
    const parts = await model().stream(LONG, { signal: leaving.signal });
    await parts.next();
    leaving.abort();
  }),
  wrong_key: wrongKey(() => said(HELLO, { key: WRONG_KEY })),
  wrong_model: wrongModel(() => said(HELLO, { name: WRONG_MODEL })),
  retry: async () => assert.equal(await said(HELLO, { url: BUSY_URL, maxRetries: 8 }), HELLO),
  asynchronous: async () => assert.deepEqual(await Promise.all([said(HELLO), said("b")]), [HELLO, "b"]),
});
