// The browser of samples, a page of them at a time: nothing is built before it is nearly in sight.

const PAGE = 24;
const FEW = 4; // concepts of a sample that are shown at first
const list = byId("sample-list");
const ofConcept = byId("of-concept");
let first = 0;
let built = false;

function activationIn(sample, index) {
  const active = sample[5];
  for (let i = 0; i < active.length; i += 2) if (active[i] === index) return active[i + 1];
  return 0;
}

function matching() {
  const terms = termsOf(search.value);
  let samples = data().samples;
  if (terms.length) samples = samples.filter(([, ...text]) => { const all = plain(text.slice(0, 3).join("")); return terms.every(term => all.includes(term)); });
  if (ofConcept.value === "") return samples;
  const index = Number(ofConcept.value);
  return samples
    .filter(sample => activationIn(sample, index) > 0)
    .sort((a, b) => activationIn(b, index) - activationIn(a, index));
}

function activeConcept(index, activation, largest) {
  const bar = element("i");
  bar.style.width = `${(100 * activation) / largest}%`;
  const link = element("a", {href: `#concept-${index}`, ariaLabel: `Concept ${index}: ${saidBy(index)}`}, element("b", {textContent: index}), " ", element("bdi", {textContent: saidBy(index)}));
  return element("li", {}, link, element("span", {className: "value", textContent: number(activation)}), element("span", {className: "bar", ariaHidden: "true"}, bar));
}

function sampleEntry(sample) {
  const [name, , , , shown, active] = sample;
  const concepts = element("ol", {className: "active"});
  const add = (from, to) => {
    for (let i = 2 * from; i < Math.min(2 * to, active.length); i += 2) concepts.append(activeConcept(active[i], active[i + 1], active[1]));
  };
  add(0, FEW);
  const text = element("div", {}, element("p", {className: "caption"}, caption(sample)), element("p", {className: "soft small name", textContent: name}), concepts);
  const more = active.length / 2 - FEW;
  if (more > 0) {
    const button = element("button", {type: "button", className: "quiet", textContent: `${more} more`, ariaExpanded: "false"});
    button.setAttribute("aria-label", `${more} more concepts of sample ${name}`);
    button.addEventListener("click", () => {
      const open = button.ariaExpanded !== "true";
      if (open) add(FEW, Infinity);
      else while (concepts.children.length > FEW) concepts.lastChild.remove();
      button.ariaExpanded = String(open);
      button.textContent = open ? "fewer" : `${more} more`;
    });
    text.append(button);
  } else if (!active.length) text.append(element("p", {className: "soft small", textContent: "It activates no concept."}));
  return element("li", {className: "sample"}, picture(shown, name), text);
}

function showSamples(from = 0) {
  if (!built) return;
  const samples = matching();
  first = Math.max(0, Math.min(from, samples.length - 1));
  const last = Math.min(first + PAGE, samples.length);
  list.replaceChildren(...samples.slice(first, last).map(sampleEntry));
  byId("sample-range").textContent = samples.length
    ? `${(first + 1).toLocaleString("en")}–${last.toLocaleString("en")} of ${samples.length.toLocaleString("en")}`
    : "No sample matches.";
  byId("samples-before").disabled = first === 0;
  byId("samples-after").disabled = last === samples.length;
}

function buildSamples() {
  if (built) return;
  built = true;
  for (const card of [...cards].sort((a, b) => indexOf(a) - indexOf(b))) {
    const index = indexOf(card);
    ofConcept.append(element("option", {value: index, textContent: `${index}: ${saidBy(index)}`}));
  }
  showSamples();
}

new IntersectionObserver((entries, observer) => {
  if (!entries.some(entry => entry.isIntersecting)) return;
  observer.disconnect();
  buildSamples();
}, {rootMargin: "600px"}).observe(byId("samples"));

ofConcept.addEventListener("change", () => showSamples());
for (const [id, step] of [["samples-before", -PAGE], ["samples-after", PAGE]]) {
  byId(id).addEventListener("click", () => {
    showSamples(first + step);
    byId("samples").scrollIntoView();
  });
}
