"use strict";
// What all pages need: asking the server, and forms that are sent as JSON.

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, content) {
  const answer = await fetch(path, content === undefined ? {} : {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(content),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Refused(answer.status, said.error || `The server says ${answer.status}.`);
  }
  return said;
}

// An element: make("p", {class: "x"}, "text", child …). Text is never taken for HTML.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function ago(seconds) {
  const passed = Math.max(0, Date.now() / 1000 - seconds);
  return passed < 5 ? "now" : passed < 60 ? `${Math.floor(passed)} s ago`
    : passed < 3600 ? `${Math.floor(passed / 60)} min ago` : `${Math.floor(passed / 3600)} h ago`;
}

for (const form of document.querySelectorAll("form[data-post]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const error = form.querySelector(".error");
    try {
      await ask(form.dataset.post, Object.fromEntries(new FormData(form)));
      location.assign(form.dataset.then);
    } catch (refused) {
      error.textContent = refused.message;
      error.hidden = false;
    }
  });
}
