// Vercel's AI SDK.
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { z } from "zod";

const provider = ({ key = KEY, url = URL_ } = {}) =>
  createOpenAICompatible({ name: "remora", baseURL: url, apiKey: key, includeUsage: true,
    supportsStructuredOutputs: true });
const inputSchema = z.object({ city: z.string() });
const described = { description: "The weather of a city", inputSchema };
const weather = tool(described);
const told = tool({ ...described, execute: async () => "warm" });
const asked = (prompt, { model = MODEL, key, url, ...fields } = {}) =>
  ({ model: provider({ key, url })(model), maxRetries: 0, prompt, ...fields });
const ask = (prompt, fields) => generateText(asked(prompt, fields));
const names = async (prompt, fields = {}) =>
  (await ask(prompt, { tools: { get_weather: weather }, ...fields })).toolCalls.map((call) => call.toolName);

await run({ "lists no models": "list", [NO_OPTION]: "n", "the provider for compatible endpoints has none": "logprobs" }, {
  chat: async () => assert.equal((await ask(HELLO)).text, HELLO),
  stream: async () => {
    let text = "";
    for await (const part of streamText(asked(HELLO)).textStream) text += part;
    assert.equal(text, HELLO);
  },
  usage: async () => {
    const stream = streamText(asked(HELLO));
    await stream.consumeStream();
    assert.equal((await stream.usage).outputTokens, HELLO_TOKENS);
  },
  auto: async () => assert.deepEqual(await names("one"), ["get_weather"]),
  required: async () => assert.deepEqual(await names("x", { toolChoice: "required" }), ["get_weather"]),
  named: async () => {
    const toolChoice = { type: "tool", toolName: "get_weather" };
    assert.deepEqual(await names("x", { toolChoice }), ["get_weather"]);
  },
  parallel: async () => {
    const stream = streamText(asked("both", { tools: { get_weather: weather } }));
    assert.equal((await stream.toolCalls).length, 2);
  },
  result: async () => {
    const answer = await ask("one", { tools: { get_weather: told }, stopWhen: stepCountIs(3) });
    assert.equal(answer.text, WARM);
  },
  schema: async () =>
    assert.equal(typeof (await generateObject(asked("x", { schema: inputSchema }))).object.city, "string"),
  stop: async () => assert.equal((await ask(STOPPED, { stopSequences: [STOP] })).text, BEFORE_STOP),
  seed: async () => assert.equal((await ask(WHICH_SEED, { seed: SEED })).text, `${SEED}`),
  cancel: stops(async () => {
    const leaving = new AbortController();
    const stream = streamText(asked(LONG, { abortSignal: leaving.signal }));
    for await (const part of stream.textStream) if (part) break;
    leaving.abort();
  }),
  wrong_key: wrongKey(() => ask(HELLO, { key: WRONG_KEY })),
  wrong_model: wrongModel(() => ask(HELLO, { model: WRONG_MODEL })),
  retry: async () => assert.equal((await ask(HELLO, { url: BUSY_URL, maxRetries: 8 })).text, HELLO),
  asynchronous: async () =>
    assert.deepEqual((await Promise.all([ask(HELLO), ask("b")])).map((each) => each.text), [HELLO, "b"]),
});
