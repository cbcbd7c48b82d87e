// The page's request as a program, and its conversations as a file.
function snippet(kind, column) {
  const url = `${location.origin}/v1`;
  const turns = talked(column).length ? talked(column) : [{ role: "user", content: $("message").value || "Hello!" }];
  const end = turns.findLastIndex((turn) => turn.role === "user") + 1;
  const { adapter_scale: scale, ...body } = bodyOf(column, turns.slice(0, end));
  const whole = scale === undefined ? body : { ...body, adapter_scale: scale };
  const json = JSON.stringify(whole, null, 2);
  if (kind === "curl") return `curl ${url}/chat/completions \\\n  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \\\n  -d '${json.replaceAll("'", "'\\''")}'`;
  if (kind === "js") return `const response = await fetch("${url}/chat/completions", {\n  method: "POST",\n  headers: { authorization: \`Bearer \${process.env.OPENAI_API_KEY}\`, "content-type": "application/json" },\n  body: JSON.stringify(${json}),\n});\nconsole.log((await response.json()).choices[0].message.content);`;
  if (kind === "langchain") return langchain(url, body, scale);
  const fields = Object.entries(body).map(([name, value]) => `    ${name}=${JSON.stringify(value)},`);
  if (scale !== undefined) fields.push(`    extra_body={"adapter_scale": ${scale}},`);
  return `from openai import OpenAI\n\nclient = OpenAI(base_url="${url}")\nanswer = client.chat.completions.create(\n${fields.join("\n")}\n)\nprint(answer.choices[0].message.content)`;
}

const showCode = () => { $("code-text").textContent = snippet($("code-kind").value, columns[$("code-model").selectedIndex]); };

// LangChain has fields of its own for what it knows; the rest goes through model_kwargs and extra_body.
function langchain(url, { model, messages, max_tokens, temperature, seed, stop, ...rest }, scale) {
  const known = { model, max_tokens, temperature, seed, stop_sequences: stop, model_kwargs: Object.keys(rest).length ? rest : undefined };
  const fields = Object.entries(known).filter(([, value]) => value !== undefined).map(([name, value]) => `    ${name}=${JSON.stringify(value)},`);
  if (scale !== undefined) fields.push(`    extra_body={"adapter_scale": ${scale}},`);
  const told = messages.map(({ role, content }) => `    (${JSON.stringify(role)}, ${JSON.stringify(content)}),`);
  return `from langchain_openai import ChatOpenAI\n\nmodel = ChatOpenAI(\n    base_url="${url}",\n${fields.join("\n")}\n)\nprint(model.invoke([\n${told.join("\n")}\n]).content)`;
}

const conversations = () => columns.map((column) => ({ model: column.model.value, messages: talked(column).map(({ role, content }) => ({ role, content })) }));

const markdown = () => conversations().map(({ model, messages }) => [`# ${model}`, ...messages.map(({ role, content }) => `**${role}**\n\n${content}`)].join("\n\n")).join("\n\n") + "\n";

function download(name, type, text) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

$("export").addEventListener("click", () => download("side-by-side.json", "application/json", JSON.stringify(conversations(), null, 2)));
$("export-markdown").addEventListener("click", () => download("side-by-side.md", "text/markdown", markdown()));
$("code-button").addEventListener("click", () => {
  $("code-model").replaceChildren(...columns.map((column, index) => new Option(`${index + 1}: ${column.model.value}`)));
  showCode();
  $("code").showModal();
});
for (const id of ["code-model", "code-kind"]) $(id).addEventListener("change", showCode);
$("code-copy").addEventListener("click", () => navigator.clipboard.writeText($("code-text").textContent));
