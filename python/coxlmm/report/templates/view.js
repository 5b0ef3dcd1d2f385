// One concept, over the page: its card, larger, with what the card has no room for.

const MORE = 24; // further samples
const view = byId("view");
let current;

const copies = nodes => [...nodes].map(node => node.cloneNode(true));

// Tokens may be nothing but space.
function visible(token) {
  const ends = token.replace(/^ +| +$/g, spaces => "␣".repeat(spaces.length));
  return ends.replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
}

function section(title, entries, className) {
  return element("section", {}, element("h3", {textContent: title}), element("ol", {className}, ...entries));
}

function scored(words) {
  const largest = Math.max(...words.map(([, score]) => Math.abs(score))) || 1;
  return words.map(([text, score]) => {
    const said = element("bdi", {textContent: visible(text)});
    return element("li", {}, said, bar(Math.abs(score) / largest), valueOf(score));
  });
}

function figureOf(sample, activation) {
  const strength = element("b", {textContent: number(activation)});
  const said = element("figcaption", {}, strength, caption(sample));
  return element("li", {}, element("figure", {title: sample[0]}, picture(sample[4], sample[0]), said));
}

function showMeaning(card, {words, similar}) {
  const filtered = [...card.querySelectorAll(".words li[data-score]")].map(li => [
    li.querySelector("bdi").textContent,
    Number(li.dataset.score),
  ]);
  const alike = similar.map(([other, cosine]) => element("li", {}, linkTo(other), valueOf(cosine)));
  byId("view-side").replaceChildren(card.querySelector(".measures").cloneNode(true));
  for (const [title, entries, className] of [
    ["Words", scored(filtered), "scores"],
    ["Tokens, unfiltered", scored(words), "scores"],
    ["Similar concepts", alike, "similar"],
  ]) {
    if (entries.length) byId("view-side").append(section(title, entries, className));
  }
}

function showImages(card, {heat}) {
  const images = copies(card.querySelectorAll(".images li"));
  images.forEach((li, i) => {
    if (!heat[i]) return;
    const layer = element("span", {className: "heat"});
    layer.style.backgroundImage = `url(${heat[i]})`;
    li.querySelector(".picture").append(layer);
  });
  byId("view-images").replaceChildren(...images);
  byId("heat").hidden = byId("heat-key").hidden = !heat.some(Boolean);
}

function showOthers(index, {hits}) {
  const among = new Set(hits);
  const others = activating(data().samples.filter((_, i) => !among.has(i)), index);
  byId("view-more").hidden = !others.length;
  byId("view-others").replaceChildren(
    ...others.slice(0, MORE).map(sample => figureOf(sample, activationIn(sample, index)))
  );
}

function show(index) {
  current = index;
  const card = cardOf(index);
  const concept = data().concepts[index];
  byId("view-name").textContent = `Concept ${index}`;
  byId("view-active").textContent = card.querySelector("header p").textContent;
  byId("view-described").textContent = card.querySelector("svg").getAttribute("aria-label");
  byId("view-histogram").replaceChildren(...copies(card.querySelector(".histogram").childNodes));
  showMeaning(card, concept);
  showImages(card, concept);
  showOthers(index, concept);
  const shown = shownCards();
  const place = shown.indexOf(card);
  byId("view-before").disabled = place <= 0;
  byId("view-after").disabled = place < 0 || place === shown.length - 1;
  if (!view.open) view.showModal();
  // What had the focus may be gone, or a button that leads no further.
  else if (!view.contains(document.activeElement) || document.activeElement.disabled) byId("view-name").focus();
  view.scrollTop = 0;
}

// The address says which concept is in view: it can be shared, and going back closes the view.
function address(index, replace) {
  const url = index === undefined ? location.pathname + location.search : `#concept-${index}`;
  history[replace ? "replaceState" : "pushState"](null, "", url);
}

function follow() {
  const index = /^#concept-(\d+)$/.exec(location.hash)?.[1];
  if (index !== undefined && cardOf(index)) show(Number(index));
  else if (view.open) view.close();
}

function step(by) {
  const shown = shownCards();
  const next = shown[shown.indexOf(cardOf(current)) + by];
  if (!next) return;
  address(indexOf(next), true);
  show(indexOf(next));
}

document.addEventListener("click", event => {
  const link = event.target.closest('a[href^="#concept-"]');
  const card = event.target.closest(".cards > .card[data-index]");
  if (!link && !(card && getSelection().isCollapsed)) return; // text of a card may be selected
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const index = link ? Number(link.hash.slice("#concept-".length)) : indexOf(card);
  (link ?? card.querySelector("h3 a")).focus(); // where it comes back to
  address(index, view.open);
  show(index);
});
addEventListener("popstate", follow);
// Told late: by then a reader who goes back and forward may have opened it again.
view.addEventListener("close", () => {
  if (!view.open && location.hash.startsWith("#concept-")) address(undefined, true);
});
view.addEventListener("click", event => {
  if (event.target === view) view.close(); // beside it
});
addEventListener("keydown", event => {
  if (!view.open) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
byId("view-close").addEventListener("click", () => view.close());
byId("view-before").addEventListener("click", () => step(-1));
byId("view-after").addEventListener("click", () => step(1));
byId("heat").addEventListener("click", () => {
  const on = byId("heat").ariaPressed !== "true";
  byId("heat").ariaPressed = String(on);
  view.classList.toggle("plain", !on);
});
byId("view-samples").addEventListener("click", () => {
  buildSamples();
  ofConcept.value = current;
  showSamples();
  view.close();
  byId("samples").scrollIntoView();
  ofConcept.focus({preventScroll: true});
});
follow();
