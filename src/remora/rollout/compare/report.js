// The buttons above the answers: which prompts are shown. Without this script all are.
const choices = document.querySelector(".buttons");
if (choices) {
  const cards = [...document.querySelectorAll("#answers .card")];
  const count = document.getElementById("shown-count");
  choices.hidden = false;
  choices.addEventListener("change", (event) => {
    const wanted = event.target.value;
    for (const card of cards) card.hidden = wanted !== "all" && !card.dataset.kinds.split(" ").includes(wanted);
    count.textContent = `${cards.filter((card) => !card.hidden).length} of ${cards.length} prompts shown`;
  });
}
