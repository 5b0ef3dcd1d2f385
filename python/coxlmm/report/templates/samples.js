// The browser of samples, a page of them at a time: nothing is built before it is nearly in sight.
// A sample is [name, caption before its word, the word, caption after it, picture, [concept, activation, ...]].

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

/** The samples that activate a concept, strongest first. */
function activating(samples, index) {
  const active = samples.filter(sample => activationIn(sample, index) > 0);
  return active.sort((a, b) => activationIn(b, index) - activationIn(a, index));
}

function matching() {
  const terms = termsOf(search.value);
  const says = ([, before, marked, after]) => {
    const text = plain(before + marked + after);
    return terms.every(term => text.includes(term));
  };
  const samples = terms.length ? data().samples.filter(says) : data().samples;
  return ofConcept.value === "" ? samples : activating(samples, Number(ofConcept.value));
}

function sampleEntry(sample) {
  const [name, , , , shown, active] = sample;
  const concepts = element("ol", {className: "active"});
  const add = (from, to) => {
    for (let i = 2 * from; i < Math.min(2 * to, active.length); i += 2) {
      const [index, activation] = [active[i], active[i + 1]];
      concepts.append(element("li", {}, linkTo(index), valueOf(activation), bar(activation / active[1])));
    }
  };
  add(0, FEW);
  const said = element("p", {className: "caption"}, caption(sample));
  const text = element("div", {}, said, element("p", {className: "soft small name", textContent: name}), concepts);
  if (!active.length) text.append(element("p", {className: "soft small", textContent: "It activates no concept."}));
  const more = active.length / 2 - FEW;
  if (more > 0) {
    const button = element("button", {type: "button", className: "quiet", textContent: `${more} more`});
    button.ariaLabel = `${more} more concepts of sample ${name}`;
    button.ariaExpanded = "false";
    button.addEventListener("click", () => {
      const open = button.ariaExpanded !== "true";
      if (open) add(FEW, Infinity);
      else while (concepts.children.length > FEW) concepts.lastChild.remove();
      button.ariaExpanded = String(open);
      button.textContent = open ? "fewer" : `${more} more`;
    });
    text.append(button);
  }
  return element("li", {className: "sample"}, picture(shown, name), text);
}

function showSamples(from = 0) {
  if (!built) return;
  const samples = matching();
  first = Math.max(0, Math.min(from, samples.length - 1));
  const last = Math.min(first + PAGE, samples.length);
  list.replaceChildren(...samples.slice(first, last).map(sampleEntry));
  const [a, b, n] = [first + 1, last, samples.length].map(count => count.toLocaleString("en"));
  byId("sample-range").textContent = samples.length ? `${a}–${b} of ${n}` : "No sample matches.";
  byId("samples-before").disabled = first === 0;
  byId("samples-after").disabled = last === samples.length;
}

function buildSamples() {
  if (built) return;
  built = true;
  for (const index of cards.map(indexOf).sort((a, b) => a - b)) {
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
