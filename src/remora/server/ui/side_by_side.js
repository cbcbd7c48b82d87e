// One message to several models. Each column keeps its own conversation; the answers are streamed in parallel.
const $ = (id) => document.getElementById(id);
const columns = [];
let models = [];
let contextLength = 0; // of prompt and answer together
const REFRESH_MS = 2000;
let running = null; // the AbortController of the answers that are being written
let current = null; // the id of the conversation that is shown, once it is kept
const KEPT = "remora.side-by-side"; // in this browser alone
const MOST_KEPT = 50;

const element = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};

function addColumn() {
  const section = $("column").content.firstElementChild.cloneNode(true);
  const index = columns.length;
  const column = { section, turns: [], talk: section.querySelector(".talk"), model: section.querySelector(".model"), scale: section.querySelector(".scale") };
  column.model.append(...options());
  column.model.selectedIndex = Math.min(index, models.length - 1);
  section.setAttribute("aria-label", `Column ${index + 1}`);
  column.talk.setAttribute("aria-label", `Conversation of column ${index + 1}`);
  const update = () => {
    const isBase = column.model.value === models[0].id;
    section.querySelector(".strength").hidden = isBase;
    section.querySelector("output").textContent = column.scale.value;
  };
  column.model.addEventListener("change", update);
  column.scale.addEventListener("input", update);
  column.talk.addEventListener("scroll", () => {
    if (running) return; // each column follows its own answer
    for (const other of columns) if (other !== column) other.talk.scrollTop = column.talk.scrollTop;
  });
  column.update = update;
  columns.push(column);
  $("columns").append(section);
  update();
}

const options = () => models.map((each) => new Option(each.digest ? `${each.id} · ${each.digest}` : `${each.id} · base`, each.id));

// What is served now. A model that is gone stays chosen: asking it says what happened to it.
async function refresh() {
  if (document.hidden || running) return;
  const told = await fetch(document.body.dataset.models).then((response) => response.json());
  if (JSON.stringify(told.models) === JSON.stringify(models)) return;
  models = told.models;
  contextLength = told.context_length;
  for (const column of columns) {
    const chosen = column.model.value;
    column.model.replaceChildren(...options());
    if (!models.some((each) => each.id === chosen)) column.model.add(new Option(`${chosen} · not served`, chosen));
    column.model.value = chosen;
  }
}

// The golden prompts: a click puts one into the box. They are there until something is asked.
async function loadExamples() {
  const { examples } = await fetch(document.body.dataset.examples).then((response) => response.json());
  for (const prompt of examples) {
    const button = $("examples").appendChild(element("button", "", prompt.length > 60 ? `${prompt.slice(0, 60)}…` : prompt));
    button.type = "button";
    button.title = prompt;
    button.addEventListener("click", () => { $("message").value = prompt; $("message").focus(); });
  }
  showExamples();
}

const showExamples = () => { $("examples").hidden = !$("examples").children.length || columns.some((column) => column.turns.length); };

function setColumns(count) {
  while (columns.length > count) columns.pop().section.remove();
  while (columns.length < count) addColumn();
}

// The settings that differ from the API's own, as its fields.
function parameters() {
  const fields = { max_tokens: Number($("max_tokens").value) || 1, temperature: Number($("temperature").value) };
  if ($("seed").value !== "") fields.seed = Number($("seed").value);
  if ($("stop").value !== "") fields.stop = [$("stop").value];
  for (const name of ["frequency_penalty", "presence_penalty"]) if (Number($(name).value)) fields[name] = Number($(name).value);
  return fields;
}

function bodyOf(column, turns) {
  const system = $("system").value.trim();
  const messages = [...(system ? [{ role: "system", content: system }] : []), ...turns.map(({ role, content }) => ({ role, content }))];
  const body = { model: column.model.value, messages, ...parameters() };
  if (column.model.value !== models[0].id && Number(column.scale.value) !== 1) body.adapter_scale = Number(column.scale.value);
  return body;
}

// What the model sees: answers that failed, and their questions, are left out.
const talked = (column) => column.turns.filter((turn) => !turn.problem);

async function answer(column, signal) {
  const turn = { role: "assistant", content: "", facts: "", model: column.model.value, scale: Number(column.scale.value) };
  const view = element("div", "answer");
  const text = view.appendChild(element("p"));
  turn.text = text;
  column.talk.append(view);
  const body = bodyOf(column, talked(column)); // the picker can be changed while it answers
  try {
    const response = await fetch(document.body.dataset.chat, {
      method: "POST", signal, headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    });
    turn.request = response.headers.get("x-request-id") || "";
    if (!response.ok) throw (await response.json()).error;
    for await (const chunk of chunks(response.body)) {
      if (chunk.error) throw chunk.error;
      const choice = chunk.choices[0];
      if (chunk.usage) turn.used = chunk.usage.total_tokens;
      if (choice?.delta?.content) turn.content = text.textContent = turn.content + choice.delta.content;
      if (choice?.finish_reason) turn.reason = choice.finish_reason;
      if (chunk.remora) turn.proof = chunk.remora;
      column.talk.scrollTop = column.talk.scrollHeight;
    }
    turn.facts = factsOf(body.model, turn);
  } catch (error) {
    if (error.name === "AbortError") turn.facts = "stopped";
    else showProblem(column, turn, view, error);
  }
  column.turns.push(turn);
  if (!turn.problem) showFacts(column, view, turn);
}

async function* chunks(stream) {
  let rest = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
  }
}

function factsOf(model, turn) {
  const proof = turn.proof || {};
  const who = proof.digest ? `${model}@${proof.digest.slice(0, 12)}` : model;
  return [who, `${Math.round(proof.tokens_per_second || 0)} tok/s`, `first token ${Math.round(proof.time_to_first_token_ms || 0)} ms`, turn.reason, ...(turn.used ? [`${turn.used} of ${contextLength} tokens`] : [])].join(" · ");
}

function showFacts(column, view, turn) {
  const line = view.appendChild(element("div", "facts"));
  line.append(element("span", "", turn.facts));
  const copy = line.appendChild(element("button", "", "Copy"));
  copy.type = "button";
  copy.addEventListener("click", () => navigator.clipboard.writeText(turn.content));
  if (!turn.model || turn.model === models[0].id || !turn.content) return; // the base differs from itself nowhere
  const colours = line.appendChild(element("button", "", "Token colours"));
  colours.type = "button";
  colours.setAttribute("aria-pressed", "false");
  colours.addEventListener("click", () => colour(column, turn, colours));
}

function showProblem(column, turn, view, error) {
  turn.problem = true;
  const asked = column.turns.at(-1);
  if (asked?.role === "user") asked.problem = true;
  const card = view.appendChild(element("div", "problem"));
  card.append(element("strong", "", error.code || "The endpoint does not answer"), element("div", "", error.message || ""));
  if (error.hint) card.append(element("div", "", error.hint));
  if (turn.request) card.append(element("div", "facts", `Request ${turn.request}`));
}

// The words of a text that are not in another one, by their longest common subsequence.
function differences(text, other) {
  const split = (value) => value.match(/\s+|[\p{L}\p{M}\p{N}_]+|[^\s\p{L}\p{M}\p{N}_]/gu) || [];
  const [a, b] = [split(text), split(other)];
  if (a.length * b.length > 4e6) return [[text, text === other]];
  const table = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  const pieces = [];
  for (let i = 0, j = 0; i < a.length; i++) {
    while (j < b.length && a[i] !== b[j] && table[i][j + 1] >= table[i + 1][j]) j++;
    const shared = j < b.length && a[i] === b[j];
    if (shared) j++;
    pieces.push([a[i], shared || !a[i].trim()]);
  }
  return pieces;
}

function markDifferences() {
  const last = columns.map((column) => column.turns.at(-1));
  const reference = last[0];
  if (!reference || reference.problem) return;
  for (const turn of last.slice(1)) {
    if (!turn || turn.problem) continue;
    turn.text.replaceChildren(...differences(turn.content, reference.content).map(([part, shared]) => (shared ? part : element("mark", "", part))));
  }
}

async function ask(text) {
  running = new AbortController();
  $("send").hidden = true;
  $("stop-all").hidden = false;
  for (const id of ["count", "saved", "rename", "delete"]) $(id).disabled = true;
  removeLastTools(); // what they take back must not be on its way
  $("status").textContent = "answering";
  for (const column of columns) {
    const turn = { role: "user", content: text };
    column.turns.push(turn);
    column.talk.append(element("p", "user", text));
  }
  showExamples();
  await Promise.all(columns.map((column) => answer(column, running.signal)));
  markDifferences();
  lastTools(text);
  running = null;
  $("count").disabled = $("saved").disabled = false;
  keep(text);
  $("send").hidden = false;
  $("stop-all").hidden = true;
  $("status").textContent = "all have answered";
  $("message").focus();
}

// Below the last answers: ask again, edit the question, or delete both. Each takes the last turn back in all columns.
function lastTools(text) {
  removeLastTools();
  const column = columns[0];
  const line = element("div", "facts again");
  for (const [name, act] of [["Regenerate", () => ask(takeBack())], ["Edit and resend", () => { $("message").value = takeBack(); $("message").focus(); }], ["Delete turn", () => { takeBack(); keepShorter(); }]]) {
    const button = line.appendChild(element("button", "", name));
    button.type = "button";
    button.addEventListener("click", act);
  }
  column.talk.append(line);
  column.talk.scrollTop = column.talk.scrollHeight;

  function takeBack() {
    for (const each of columns) {
      each.turns.splice(each.turns.findLastIndex((turn) => turn.role === "user"));
      const asked = [...each.talk.querySelectorAll(".user")].at(-1);
      while (asked?.nextSibling) asked.nextSibling.remove();
      asked?.remove();
    }
    return text;
  }
}

function removeLastTools() {
  document.querySelectorAll(".again").forEach((each) => each.remove());
}

function kept() {
  try { return JSON.parse(localStorage.getItem(KEPT)) || []; } catch { return []; }
}

function store(conversations) {
  try { localStorage.setItem(KEPT, JSON.stringify(conversations.slice(0, MOST_KEPT))); } catch { /* the browser keeps nothing, or is full */ }
  $("saved").replaceChildren(new Option("New", ""), ...kept().map((each) => new Option(each.name, each.id)));
  $("saved").value = current ?? "";
  $("rename").disabled = $("delete").disabled = current === null;
}

function keep(text) {
  const before = kept().find((each) => each.id === current);
  current ??= Date.now();
  const told = columns.map((column) => ({ model: column.model.value, scale: column.scale.value, turns: talked(column).map(({ role, content, facts, model, scale }) => ({ role, content, facts, model, scale })) }));
  store([{ id: current, name: before?.name || text.slice(0, 40), columns: told }, ...kept().filter((each) => each.id !== current)]);
}

// After its last turn was deleted: the turn before it is the last one now.
function keepShorter() {
  const before = columns[0].turns.findLast((turn) => turn.role === "user");
  removeLastTools();
  if (current !== null && before) keep(before.content);
  else if (current !== null) $("delete").click();
  if (before) lastTools(before.content);
  $("message").focus();
}

function show(conversation) {
  current = conversation?.id ?? null;
  if (conversation) $("count").value = conversation.columns.length;
  setColumns(Number($("count").value));
  columns.forEach((column, index) => {
    const told = conversation?.columns[index];
    column.turns = (told?.turns || []).map((turn) => ({ ...turn }));
    column.talk.replaceChildren();
    if (told) { column.model.value = told.model; column.scale.value = told.scale; column.update(); }
    for (const turn of column.turns) {
      const view = column.talk.appendChild(turn.role === "user" ? element("p", "user", turn.content) : element("div", "answer"));
      if (turn.role === "user") continue;
      turn.text = view.appendChild(element("p", "", turn.content));
      showFacts(column, view, turn);
    }
  });
  markDifferences();
  const asked = columns[0].turns.findLast((turn) => turn.role === "user");
  if (asked) lastTools(asked.content);
  store(kept());
  showExamples();
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("message").value;
  if (running || !text.trim()) return;
  $("message").value = "";
  ask(text);
});
$("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("ask").requestSubmit(); }
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") running?.abort(); });
$("stop-all").addEventListener("click", () => running?.abort());
$("saved").addEventListener("change", () => show(kept().find((each) => String(each.id) === $("saved").value)));
$("rename").addEventListener("click", () => {
  const name = prompt("Name of the conversation", $("saved").selectedOptions[0].text)?.trim();
  if (name) store(kept().map((each) => (each.id === current ? { ...each, name } : each)));
});
$("delete").addEventListener("click", () => { store(kept().filter((each) => each.id !== current)); show(undefined); });
$("count").addEventListener("change", () => setColumns(Number($("count").value)));
refresh().then(() => {
  $("max_tokens").max = contextLength;
  show(undefined);
  loadExamples().catch(() => {}); // a page without examples is a page
  setInterval(() => refresh().catch(() => {}), REFRESH_MS); // what does not answer now is asked again
});
