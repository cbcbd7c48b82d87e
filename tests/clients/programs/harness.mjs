// What the programs for Node share; the runner puts it before each: `URL KEY MODEL`, as in harness.py.
import assert from "node:assert";

const [URL_, KEY, MODEL] = process.argv.slice(2);
const BUSY_URL = process.env.BUSY_URL;
const CHOSEN = (process.env.CASES ?? "").split(" ").filter(Boolean);
const HELLO = "hello there", WARM = "It is warm.", LONG = "long";
const [STOPPED, STOP, BEFORE_STOP] = ["a b c", " b", "a"];
const [WHICH_SEED, SEED] = ["which seed?", 7];
const HELLO_TOKENS = HELLO.length + 1;
const WRONG_KEY = "not-a-key", WRONG_MODEL = "no-such-model";
const NO_OPTION = "has no option for it";
const SECONDS = 120;
const SCHEMA = {
  type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false,
};
const TOOL = {
  type: "function",
  function: { name: "get_weather", description: "The weather of a city", parameters: SCHEMA },
};
const user = (content) => [{ role: "user", content }];

async function fails(message, work) {
  let raised;
  try { await work(); } catch (error) { raised = error; }
  assert.ok(raised, `nothing was raised with '${message}'`);
  assert.ok(`${raised} ${raised.cause ?? ""}`.includes(message), `${raised}`);
}
const wrongKey = (work) => () => fails("not valid", work);
const wrongModel = (work) => () => fails("does not exist", work);

async function metric(name) {
  const headers = { authorization: `Bearer ${KEY}` };
  const text = await (await fetch(`${URL_.replace(/\/v1$/, "")}/metrics`, { headers })).text();
  return Number(text.split("\n").find((line) => line.startsWith(`${name} `)).split(" ")[1]);
}

// The case: `leave` begins to read the long answer and goes away; the metrics say that the engine stops.
const stops = (leave) => async () => {
  const before = await metric("remora_engine_cancelled_requests_total");
  await leave();
  const deadline = Date.now() + SECONDS * 1000;
  while ((await metric("remora_engine_cancelled_requests_total")) <= before || (await metric("remora_batch_size"))) {
    assert.ok(Date.now() < deadline, "the engine goes on");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

async function run(cannot, cases) {
  const told = {};
  for (const [reason, names] of Object.entries(cannot))
    for (const name of names.split(" ")) told[name] = { cannot: reason };
  for (const [name, work] of Object.entries(cases)) {
    if (CHOSEN.length && !CHOSEN.includes(name)) continue;
    told[name] = {};
    try { await work(); } catch (error) { told[name] = { problem: `${error}`.slice(0, 600) }; }
  }
  process.stdout.write(`\nTOLD ${JSON.stringify(told)}\n`, () => process.exit(0));
}
