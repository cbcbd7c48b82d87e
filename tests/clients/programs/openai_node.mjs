// openai-node.
import OpenAI from "openai";

const made = (fields = {}) => new OpenAI({ baseURL: URL_, apiKey: KEY, maxRetries: 0, ...fields });
const client = made();
const tools = [
  TOOL,
  { type: "function", function: { name: "get_time", parameters: { type: "object", properties: {} } } },
];

const ask = (text, fields = {}, by = client) =>
  by.chat.completions.create({ model: MODEL, messages: user(text), ...fields });
const said = async (...asked) => (await ask(...asked)).choices[0].message.content;
const message = async (text, fields = {}) => (await ask(text, { tools, ...fields })).choices[0].message;
const names = (of) => (of.tool_calls ?? []).map((call) => call.function.name);
const pieces = async (stream) => {
  const all = [];
  for await (const part of stream) all.push(part);
  return all;
};

await run({}, {
  list: async () => assert.ok((await pieces(await client.models.list())).some((each) => each.id === MODEL)),
  chat: async () => assert.equal(await said(HELLO), HELLO),
  stream: async () => {
    const parts = await pieces(await ask(HELLO, { stream: true }));
    assert.equal(parts.map((part) => part.choices[0].delta.content ?? "").join(""), HELLO);
  },
  usage: async () => {
    const parts = await pieces(await ask(HELLO, { stream: true, stream_options: { include_usage: true } }));
    assert.equal(parts.at(-1).usage.completion_tokens, HELLO_TOKENS);
  },
  auto: async () => assert.deepEqual(names(await message("one")), ["get_weather"]),
  required: async () => assert.equal(names(await message("x", { tool_choice: "required" })).length, 1),
  named: async () => {
    const tool_choice = { type: "function", function: { name: "get_weather" } };
    assert.deepEqual(names(await message("x", { tool_choice })), ["get_weather"]);
  },
  parallel: async () => {
    const runner = client.chat.completions.stream({ model: MODEL, messages: user("both"), tools });
    const whole = (await runner.finalChatCompletion()).choices[0].message;
    assert.deepEqual(names(whole), ["get_weather", "get_weather"]);
  },
  result: async () => {
    const called = await message("one");
    const told = { role: "tool", tool_call_id: called.tool_calls[0].id, content: "warm" };
    const answer = await client.chat.completions.create({
      model: MODEL, messages: [...user("one"), called, told], tools,
    });
    assert.equal(answer.choices[0].message.content, WARM);
  },
  schema: async () => {
    const response_format = { type: "json_schema", json_schema: { name: "weather", schema: SCHEMA, strict: true } };
    const answer = await client.chat.completions.parse({ model: MODEL, messages: user("x"), response_format });
    assert.equal(typeof answer.choices[0].message.parsed.city, "string");
  },
  stop: async () => assert.equal(await said(STOPPED, { stop: [STOP] }), BEFORE_STOP),
  logprobs: async () => {
    const scores = (await ask(HELLO, { logprobs: true, top_logprobs: 2 })).choices[0].logprobs.content;
    assert.ok(scores.length >= HELLO.length && scores.every((each) => each.logprob < 0));
  },
  n: async () => assert.equal((await ask(HELLO, { n: 3 })).choices.length, 3),
  seed: async () => assert.equal(await said(WHICH_SEED, { seed: SEED }), `${SEED}`),
  cancel: stops(async () => {
    const stream = await ask(LONG, { stream: true });
    for await (const part of stream) {
      assert.ok(part.choices);
      break; // which aborts the request
    }
  }),
  wrong_key: wrongKey(() => ask(HELLO, {}, made({ apiKey: WRONG_KEY }))),
  wrong_model: wrongModel(() => ask(HELLO, { model: WRONG_MODEL })),
  retry: async () => assert.equal(await said(HELLO, {}, made({ baseURL: BUSY_URL, maxRetries: 8 })), HELLO),
  asynchronous: async () => assert.deepEqual(await Promise.all([said(HELLO), said("b")]), [HELLO, "b"]),
});
