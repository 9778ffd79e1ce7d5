"use strict";

const form = document.getElementById("form");
const search = document.getElementById("search");
const status = document.getElementById("status");
const results = document.getElementById("results");
const buttons = document.querySelectorAll("button");

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

function row(text, score, id) {
  const item = document.createElement("li");
  const measure = element("div", "measure");
  const track = element("div", "track");
  const bar = element("div", "bar");
  bar.style.width = `${Math.max(0, Math.min(1, score)) * 100}%`;
  track.append(bar);
  measure.append(track, element("span", "score", score.toFixed(4)));
  if (id !== undefined) item.append(element("div", "id", id));
  item.append(element("div", "text", text), measure);
  return item;
}

async function ask(path, body, show) {
  const token = document.getElementById("token").value;
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  for (const button of buttons) button.disabled = true;
  say("Asking…", false);
  try {
    const started = performance.now();
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    const answer = await response.json();
    const took = performance.now() - started;
    if (!response.ok) {
      results.replaceChildren();
      say(answer.error, true);
      return;
    }
    say(show(answer, `in ${took.toFixed(1)} ms by model ${answer.model_name} ${answer.model_version}`), false);
  } catch {
    say("The server does not answer; is it still running?", true);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function counted(number, noun) {
  return number === 1 ? `1 ${noun}` : `${number} ${noun}s`;
}

function rank() {
  const documents = form.documents.value.split("\n").filter((line) => line.trim() !== "");
  ask("find_similar", { query: form.query.value, documents, return_documents: true }, (answer, how) => {
    results.replaceChildren(...answer.ranking.map((ranked) => row(ranked.document, ranked.score)));
    return `${counted(documents.length, "document")} ${how}.`;
  });
}

function find() {
  ask("search", { query: search.query.value }, (answer, how) => {
    results.replaceChildren(...answer.hits.map((hit) => row(hit.text ?? "", hit.score, hit.id)));
    return `${counted(answer.hits.length, "passage")} ${how} and index ${answer.index_version}.`;
  });
}

search.hidden = document.body.dataset.index !== "yes";

search.addEventListener("submit", (event) => {
  event.preventDefault();
  find();
});

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
