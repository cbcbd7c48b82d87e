// Escape stops the running answer: it presses the stop button, which is there only while one runs.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelector("#question .stop-button")?.click();
});
