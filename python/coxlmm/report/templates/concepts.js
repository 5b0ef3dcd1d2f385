// The overview: order and search.

const cards = [...document.querySelectorAll(".cards > .card[data-index]")];
const lines = [...document.querySelectorAll(".glance > li")];
const search = byId("search");
const order = byId("order");

const indexOf = node => Number(node.dataset.index);
const cardOf = index => byId(`concept-${index}`);
const shownCards = () => [...document.querySelectorAll(".cards > .card[data-index]:not([hidden])")];
const wordsOf = index => [...cardOf(index).querySelectorAll(".words bdi")].map(word => word.textContent);
const saidBy = index => wordsOf(index).slice(0, 3).join(", ") || "no words";

function linkTo(index) {
  const link = element("a", {href: `#concept-${index}`, ariaLabel: `Concept ${index}: ${saidBy(index)}`});
  link.append(element("b", {textContent: index}), " ", element("bdi", {textContent: saidBy(index)}));
  return link;
}

// Every term that is searched for has to be there, in any order.
const termsOf = text => plain(text).split(/\s+/).filter(Boolean);
const textOf = (() => {
  const texts = new Map();
  return card => {
    if (!texts.has(card)) {
      const pieces = card.querySelectorAll(".words bdi, .images bdi");
      texts.set(card, plain([...pieces].map(piece => piece.textContent).join("\n")));
    }
    return texts.get(card);
  };
})();

order.addEventListener("change", () => {
  const key = order.value;
  const sign = key === "index" ? 1 : -1;
  const compare = (a, b) => sign * (a.dataset[key] - b.dataset[key]) || indexOf(a) - indexOf(b);
  document.querySelector(".cards").append(...cards.sort(compare));
  const rank = new Map(cards.map((card, i) => [indexOf(card), i]));
  lines.sort((a, b) => rank.get(indexOf(a)) - rank.get(indexOf(b)));
  document.querySelector(".glance").append(...lines);
});

search.addEventListener("input", () => {
  const terms = termsOf(search.value);
  const found = new Set(cards.filter(card => terms.every(term => textOf(card).includes(term))));
  for (const card of cards) card.hidden = !found.has(card);
  for (const line of lines) line.hidden = !found.has(cardOf(line.dataset.index));
  byId("no-concept").hidden = found.size > 0;
  showSamples();
  const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
  const said = () => `${count(found.size, "concept")}, ${count(matching().length, "sample")}`;
  byId("found").textContent = terms.length ? said() : "";
});

addEventListener("keydown", event => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  event.preventDefault();
  search.focus();
});

// Left and right go from concept to concept; up and down scroll, as ever.
document.querySelector(".cards").addEventListener("keydown", event => {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  const card = event.target.closest(".card[data-index]");
  if (!step || !card) return;
  const shown = shownCards();
  shown[shown.indexOf(card) + step]?.querySelector("h3 a").focus();
});
