// The page of the chat tab: draws turns and keeps the conversation. Everything else is asked of the extension.
// @ts-check
(() => {
  const host = acquireVsCodeApi();
  const element = (id) => document.getElementById(id);
  const [model, turns, form, text, send, stop, clear] = ['model', 'turns', 'form', 'text', 'send', 'stop', 'clear'].map(element);
  /** @type {{role: string, content: string}[]} */
  let messages = [];
  /** @type {HTMLElement | undefined} The answer that is being written. */
  let answer;

  const receive = {
    'chat.models': ({ models, model: chosen }) => {
      if (model.options.length) return;
      model.replaceChildren(...models.map((name) => new Option(name, name, false, name === chosen)));
      settle();
    },
    'chat.piece': (piece) => { answer?.append(piece.text); scroll(); },
    chat: (whole) => {
      messages.push({ role: 'assistant', content: whole.answer });
      const who = whole.adapter_digest ? `${whole.model}@${whole.adapter_digest.slice(0, 12)}` : `${whole.model} (base)`;
      const speed = whole.tokens_per_second ? ` · ${Math.round(whole.tokens_per_second)} tok/s` : '';
      answer?.append(block('facts', `${who}${speed}${whole.finish_reason === 'stopped' ? ' · stopped' : ''}`));
      settle();
    },
    error: ({ error }) => {
      if (answer && !answer.textContent) answer.remove();
      turns.append(block('turn error', `${error.message} (${error.code})${error.hint ? `\n→ ${error.hint}` : ''}`));
      const last = messages.at(-1);
      if (last?.role === 'user') { messages.pop(); text.value ||= last.content; }
      settle();
    },
    ended: () => { settle(); },
  };

  window.addEventListener('message', ({ data }) => { receive[data.name]?.(data.document); });
  form.addEventListener('submit', (event) => { event.preventDefault(); ask(); });
  text.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask(); }
    if (event.key === 'Escape' && answer) host.postMessage({ stop: true });
  });
  stop.addEventListener('click', () => { host.postMessage({ stop: true }); });
  clear.addEventListener('click', () => { if (!answer) { messages = []; turns.replaceChildren(); text.focus(); } });
  send.disabled = true;
  host.postMessage({ ready: true });

  function ask() {
    const content = text.value.trim();
    if (!content || answer || send.disabled) return;
    text.value = '';
    messages.push({ role: 'user', content });
    answer = block('turn assistant', '');
    turns.append(block('turn user', content), answer);
    send.hidden = true;
    stop.hidden = false;
    scroll();
    host.postMessage({ ask: { model: model.value, messages } });
  }

  function settle() {
    answer = undefined;
    send.hidden = send.disabled = false;
    stop.hidden = true;
    scroll();
    text.focus();
  }

  function block(className, content) {
    const made = document.createElement('div');
    made.className = className;
    made.textContent = content;
    return made;
  }

  function scroll() { turns.scrollTop = turns.scrollHeight; }
})();
