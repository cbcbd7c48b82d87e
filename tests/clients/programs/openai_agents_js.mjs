// openai-agents for JavaScript, over the Responses API.
import { Agent, OpenAIResponsesModel, Runner, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

setTracingDisabled(true);
const runner = new Runner({ tracingDisabled: true });
const Weather = z.object({ city: z.string() });
const called = [];
const weather = tool({
  name: "get_weather", description: "The weather of a city", parameters: Weather,
  execute: async ({ city }) => { called.push(city); return "warm"; },
});
const agent = ({ model = MODEL, key = KEY, url = URL_, maxRetries = 0, ...fields } = {}) =>
  new Agent({
    name: "helper", instructions: "Help.",
    model: new OpenAIResponsesModel(new OpenAI({ baseURL: url, apiKey: key, maxRetries }), model), ...fields,
  });
const said = async (text, fields) => (await runner.run(agent(fields), text)).finalOutput;
const used = (text, modelSettings, toolUseBehavior = "stop_on_first_tool") => async () => {
  called.length = 0;
  const output = await said(text, { tools: [weather], modelSettings, toolUseBehavior });
  assert.equal(called.length, text === "both" ? 2 : 1);
  assert.equal(output, toolUseBehavior === "run_llm_again" ? WARM : "warm");
};

await run({ "lists no models": "list", "the Responses API has none": "n stop seed" }, {
  chat: async () => assert.equal(await said(HELLO), HELLO),
  stream: async () => {
    let text = "";
    const stream = await runner.run(agent(), HELLO, { stream: true });
    for await (const part of stream.toTextStream()) text += part;
    assert.equal(text, HELLO);
  },
  usage: async () => {
    const stream = await runner.run(agent(), HELLO, { stream: true });
    await stream.completed;
    assert.equal(stream.state.usage.outputTokens, HELLO_TOKENS);
  },
  auto: used("one", {}, "run_llm_again"),
  required: used("x", { toolChoice: "required" }),
  named: used("x", { toolChoice: "get_weather" }),
  parallel: used("both", { parallelToolCalls: true }, "run_llm_again"),
  result: used("one", {}, "run_llm_again"),
  schema: async () => assert.equal(typeof (await said("x", { outputType: Weather })).city, "string"),
  logprobs: async () => {
    const modelSettings = { providerData: { top_logprobs: 2, include: ["message.output_text.logprobs"] } };
    const answer = await runner.run(agent({ modelSettings }), HELLO);
    assert.ok(JSON.stringify(answer.rawResponses).includes("logprob"));
  },
  cancel: stops(async () => {
    const leaving = new AbortController();
    const stream = await runner.run(agent(), LONG, { stream: true, signal: leaving.signal });
    for await (const part of stream.toTextStream()) if (part) break;
    leaving.abort();
  }),
  wrong_key: wrongKey(() => said(HELLO, { key: WRONG_KEY })),
  wrong_model: wrongModel(() => said(HELLO, { model: WRONG_MODEL })),
  retry: async () => assert.equal(await said(HELLO, { url: BUSY_URL, maxRetries: 8 }), HELLO),
  asynchronous: async () => assert.deepEqual(await Promise.all([said(HELLO), said("b")]), [HELLO, "b"]),
});
