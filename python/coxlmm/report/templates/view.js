// One concept, over the page: its card, larger, with what the card has no room for.

const MORE = 24; // further samples
const view = byId("view");
let current;

function section(title, ...content) {
  return element("section", {}, element("h3", {textContent: title}), ...content);
}

// Tokens may be nothing but space.
const visible = text => text.replace(/^ +| +$/g, spaces => "␣".repeat(spaces.length)).replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";

function bars(words) {
  const largest = Math.max(...words.map(([, score]) => Math.abs(score)), 1e-9);
  return element("ol", {className: "scores"}, ...words.map(([text, score]) => {
    const bar = element("i");
    bar.style.width = `${(100 * Math.abs(score)) / largest}%`;
    return element("li", {}, element("bdi", {textContent: visible(text)}), element("span", {className: "bar", ariaHidden: "true"}, bar), element("span", {className: "value", textContent: number(score)}));
  }));
}

function figureOf(sample, activation) {
  return element("li", {}, element("figure", {title: sample[0]}, picture(sample[4], sample[0]), element("figcaption", {}, element("b", {textContent: number(activation)}), caption(sample))));
}

function show(index) {
  current = index;
  const card = cardOf(index);
  const {words, hits, heat, similar} = data().concepts[index];
  byId("view-name").textContent = `Concept ${index}`;
  byId("view-active").textContent = card.querySelector("header p").textContent;

  const scored = [...card.querySelectorAll(".words li")].filter(li => li.dataset.score).map(li => [li.querySelector("bdi").textContent, Number(li.dataset.score)]);
  const side = [card.querySelector(".measures").cloneNode(true)];
  if (scored.length) side.push(section("Words", bars(scored)));
  if (words.length) side.push(section("Tokens, unfiltered", bars(words)));
  if (similar.length) {
    side.push(section("Similar concepts", element("ol", {className: "similar"}, ...similar.map(([other, cosine]) => element("li", {},
      element("a", {href: `#concept-${other}`, ariaLabel: `Concept ${other}: ${saidBy(other)}`}, element("b", {textContent: other}), " ", element("bdi", {textContent: saidBy(other)})),
      element("span", {className: "value", title: "cosine", textContent: number(cosine)}))))));
  }
  byId("view-side").replaceChildren(...side);

  byId("view-described").textContent = card.querySelector("svg").getAttribute("aria-label");
  byId("view-histogram").replaceChildren(...[...card.querySelector(".histogram").childNodes].map(node => node.cloneNode(true)));
  const images = [...card.querySelectorAll(".images li")].map(li => li.cloneNode(true));
  images.forEach((li, i) => {
    if (!heat[i]) return;
    const layer = element("span", {className: "heat"});
    layer.style.backgroundImage = `url(${heat[i]})`;
    li.querySelector(".picture")?.append(layer);
  });
  byId("view-images").replaceChildren(...images);
  byId("heat").hidden = byId("heat-key").hidden = !heat.some(Boolean);

  const among = new Set(hits);
  const samples = data().samples;
  const others = samples.filter((sample, i) => !among.has(i) && activationIn(sample, index) > 0);
  others.sort((a, b) => activationIn(b, index) - activationIn(a, index));
  byId("view-more").hidden = !others.length;
  byId("view-others").replaceChildren(...others.slice(0, MORE).map(sample => figureOf(sample, activationIn(sample, index))));

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
  const hash = index === undefined ? location.pathname + location.search : `#concept-${index}`;
  history[replace ? "replaceState" : "pushState"](null, "", hash);
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
  if (!link && !(card && getSelection().isCollapsed)) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const index = link ? Number(link.hash.slice("#concept-".length)) : indexOf(card);
  (link ?? card.querySelector("h3 a")).focus();
  address(index, view.open);
  show(index);
});
addEventListener("popstate", follow);
// Told late: by then a reader who goes back and forward may have opened it again.
view.addEventListener("close", () => { if (!view.open && location.hash.startsWith("#concept-")) address(undefined, true); });
view.addEventListener("click", event => { if (event.target === view) view.close(); });
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
