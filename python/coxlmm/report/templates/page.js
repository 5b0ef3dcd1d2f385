"use strict";
// What every part of the page uses. All text that came from captions, words and names goes through textContent.

const byId = id => document.getElementById(id);
const data = (() => {
  let parsed;
  return () => (parsed ??= JSON.parse(byId("data").textContent)); // not before a reader asks for what is in it
})();

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// As numbers.py says it.
function number(value) {
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  if (size > 0 && size < 0.1) return String(Number(value.toPrecision(2)));
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

const valueOf = value => element("span", {className: "value", textContent: number(value)});

function bar(part) {
  const filled = element("i");
  filled.style.width = `${100 * part}%`;
  return element("span", {className: "bar", ariaHidden: "true"}, filled);
}

function picture(number, name) {
  if (number < 0) return element("span", {className: "picture blank", textContent: name});
  return element("span", {className: `picture p${number}`, role: "img", ariaLabel: `Sample ${name}`});
}

function caption([, before, marked, after]) {
  const whole = element("bdi", {}, before);
  if (marked) whole.append(element("mark", {textContent: marked}));
  whole.append(after);
  return whole;
}

const plain = text => text.normalize("NFKC").toLowerCase();

const theme = byId("theme");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
const showTheme = () => (theme.ariaPressed = String(isDark()));
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
});
prefersDark.addEventListener("change", showTheme);
showTheme();
for (const control of document.querySelectorAll("[data-scripted]")) control.hidden = false;
