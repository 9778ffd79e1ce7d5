"use strict";

const form = document.getElementById("form");
const status = document.getElementById("status");
const results = document.getElementById("results");
const button = form.querySelector("button");

function say(sentence, wrong) {
  status.textContent = sentence;
  status.classList.toggle("wrong", wrong);
}

function element(kind, name, text) {
  const made = document.createElement(kind);
  made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function row(ranked) {
  const item = document.createElement("li");
  const measure = element("div", "measure");
  const track = element("div", "track");
  const bar = element("div", "bar");
  bar.style.width = `${Math.max(0, Math.min(1, ranked.score)) * 100}%`;
  track.append(bar);
  measure.append(track, element("span", "score", ranked.score.toFixed(4)));
  item.append(element("div", "text", ranked.document), measure);
  return item;
}

async function rank() {
  const documents = form.documents.value.split("\n").filter((line) => line.trim() !== "");
  const token = document.getElementById("token").value;
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = JSON.stringify({ query: form.query.value, documents, return_documents: true });
  button.disabled = true;
  say("Ranking…", false);
  try {
    const started = performance.now();
    const response = await fetch("find_similar", { method: "POST", headers, body });
    const answer = await response.json();
    const took = performance.now() - started;
    if (!response.ok) {
      results.replaceChildren();
      say(answer.error, true);
      return;
    }
    results.replaceChildren(...answer.ranking.map(row));
    const count = documents.length === 1 ? "1 document" : `${documents.length} documents`;
    say(`${count} in ${took.toFixed(1)} ms by model ${answer.model_name} ${answer.model_version}.`, false);
  } catch {
    say("The server does not answer; is it still running?", true);
  } finally {
    button.disabled = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  rank();
});

form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit();
  }
});
