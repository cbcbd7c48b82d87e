// How far base and adapter differ at each token of an answer. One token is chosen at a time, by pointer or arrow
// keys; the likeliest tokens of both models there stand below.
async function colour(column, turn, button) {
  if (turn.colours) { // once more: the text as it was
    turn.colours.remove();
    turn.colours = null;
    turn.text.hidden = false;
    button.setAttribute("aria-pressed", "false");
    return;
  }
  button.disabled = true;
  try {
    const told = talked(column);
    const { messages } = bodyOf(column, told.slice(0, told.indexOf(turn) + 1));
    const asked = { model: turn.model, messages, adapter_scale: turn.scale };
    const response = await fetch(document.body.dataset.colours, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(asked) });
    const answered = await response.json();
    if (!response.ok) throw answered.error;
    turn.colours = coloured(answered.tokens);
    turn.text.after(turn.colours);
    turn.text.hidden = true;
    button.setAttribute("aria-pressed", "true");
  } catch (error) {
    $("status").textContent = error.message || "The endpoint does not answer";
    button.after(element("span", "refused", `${error.message || "The endpoint does not answer"}${error.hint ? `: ${error.hint}` : ""}`));
  }
  button.disabled = false;
}

function coloured(tokens) {
  const whole = element("div", "colours");
  const text = whole.appendChild(element("p"));
  const likeliest = element("div", "likeliest");
  text.tabIndex = 0;
  text.setAttribute("role", "group");
  text.setAttribute("aria-label", "The answer's tokens; arrow keys choose one");
  const spans = tokens.map((token) => {
    const span = text.appendChild(element("span", "token", token.text));
    span.style.setProperty("--heat", (1 - Math.exp(-token.kl)).toFixed(3));
    span.dataset.kl = token.kl;
    return span;
  });
  let chosen = -1;
  const choose = (index) => {
    if (!spans.length) return;
    spans[chosen]?.classList.remove("chosen");
    chosen = Math.max(0, Math.min(spans.length - 1, index));
    spans[chosen].classList.add("chosen");
    likeliest.replaceChildren(...compared(tokens[chosen]));
  };
  text.addEventListener("pointerover", (event) => { const index = spans.indexOf(event.target); if (index >= 0) choose(index); });
  text.addEventListener("focus", () => { if (chosen < 0) choose(0); });
  text.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) { event.preventDefault(); choose(chosen + step); }
  });
  likeliest.setAttribute("role", "status");
  likeliest.append(element("p", "", "Darker tokens are those where base and adapter differ more. Point at one, or use the arrow keys."));
  whole.append(likeliest);
  return whole;
}

function compared(token) {
  const shown = (text) => JSON.stringify(text);
  const percent = (share) => (share < 0.005 ? "< 1 %" : `${Math.round(share * 100)} %`);
  const row = (name, likeliest) => {
    const line = element("p");
    line.append(element("strong", "", name), ` ${likeliest.map(([text, share]) => `${shown(text)} ${percent(share)}`).join(", ")}`);
    return line;
  };
  return [element("p", "", `${shown(token.text)}: KL ${token.kl.toFixed(2)} nats`), row("base", token.base), row("adapter", token.model)];
}
