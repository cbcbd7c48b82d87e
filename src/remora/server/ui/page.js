/* Escape stops the running answer: it presses the stop button, which is there only while one runs. */
document.addEventListener(
  "keydown",
  (event) => {
    if (event.key === "Escape") document.querySelector("#question .stop-button")?.click();
  },
  { capture: true },
);

/* On a phone the settings would cover the conversation: fold them away once they are in place. */
if (window.matchMedia("(max-width: 768px)").matches) {
  const folding = setInterval(() => {
    const sidebar = document.querySelector("#sidebar");
    if (!sidebar) return;
    if (sidebar.classList.contains("open")) sidebar.querySelector(".toggle-button").click();
    else clearInterval(folding);
  }, 50);
}

/* Gradio calls the examples a list and puts buttons into it, which screen readers do not expect there. */
new MutationObserver(() => {
  for (const examples of document.querySelectorAll('#chat .examples[role="list"]')) {
    examples.setAttribute("role", "group");
    examples.setAttribute("aria-label", "Example prompts");
  }
}).observe(document.documentElement, { childList: true, subtree: true });

/* Gradio copies an answer with the line below it, as HTML: copy the text alone. */
if (navigator.clipboard) {
  const write = navigator.clipboard.writeText.bind(navigator.clipboard);
  navigator.clipboard.writeText = (text) => write(text.replace(/\n?<span class="(?:answer-facts|problem)">[^]*$/, ""));
}
