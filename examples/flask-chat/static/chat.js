"use strict";
// The user's page. Requests go one after the other: Flask-Session writes the whole session at the end of
// each, so of two at once the later one would win. What is sent is repeated, with the same id, until
// the server has it.

const list = document.getElementById("messages");
const presence = document.getElementById("presence");
const POLL_MS = 2000;
let pending = [];        // sent, not yet confirmed
let known = [];
let last = Promise.resolve();
list.style.setProperty("--mine", list.dataset.color);

function inTurn(path, content) {
  const turn = last.then(() => ask(path, content));
  last = turn.catch(() => {});
  return turn;
}

function bubble(message, isPending) {
  const time = new Date(message.at * 1000).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"});
  const by = message.role === "admin" ? `${message.by} · ` : message.role === "bot" ? "automatic · " : "";
  const state = isPending ? "sending…" : message.waiting ? `${time} · waits for a person` : by + time;
  const element = make("div", {class: `message ${message.role}${isPending ? " sending" : ""}`},
    make("p", {}, message.content));
  if (message.role !== "notice") {
    element.append(make("small", {}, state));
  }
  return element;
}

function show() {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  const all = [...known.map((m) => bubble(m, false)), ...pending.map((m) => bubble(m, true))];
  list.replaceChildren(...(all.length ? all
    : [make("p", {class: "welcome"}, `Hello ${list.dataset.username}. What is on your mind?`)]));
  if (atEnd) {
    list.scrollTop = list.scrollHeight;
  }
}

function took(conversation) {
  if (JSON.stringify(known) === JSON.stringify(conversation.messages) && list.childElementCount) {
    return;
  }
  known = conversation.messages;
  show();
}

function connected(yes) {
  presence.textContent = yes ? "connected" : "trying to connect…";
  presence.classList.toggle("lost", !yes);
}

// True if the server had an answer, whatever it was; a session that has ended leads to the log-in.
async function attempt(path, content) {
  try {
    took(await inTurn(path, content));
    connected(true);
    return true;
  } catch (refused) {
    if (refused.status === 401) {
      location.assign("/");
    }
    connected(refused.status !== undefined && refused.status < 500);
    return refused.status !== undefined && refused.status < 500;
  }
}

async function poll() {
  if (!pending.length) {
    await attempt("/messages");
  }
  setTimeout(poll, POLL_MS);
}

async function deliver(message) {
  while (!await attempt("/messages", {id: message.id, content: message.content})) {
    await new Promise((done) => setTimeout(done, 1000));
  }
  pending = pending.filter((other) => other !== message);
  show();
}

let delivered = Promise.resolve();
document.getElementById("send").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = document.getElementById("content");
  const content = input.value.trim();
  if (!content) {
    return;
  }
  const random = crypto.getRandomValues(new Uint32Array(4));
  const message = {id: [...random].map((n) => n.toString(36)).join("-"), role: "user", content,
    at: Date.now() / 1000};
  input.value = "";
  pending.push(message);
  show();
  list.scrollTop = list.scrollHeight;
  delivered = delivered.then(() => deliver(message));
});

document.getElementById("logout").addEventListener("click", async () => {
  await inTurn("/logout", {}).catch(() => {});
  location.assign("/");
});

const profile = document.getElementById("profile");
document.getElementById("open-profile").addEventListener("click", () => profile.showModal());
profile.addEventListener("close", async () => {
  if (profile.returnValue !== "save") {
    return;
  }
  const chosen = Object.fromEntries(new FormData(profile.querySelector("form")));
  const said = await inTurn("/attributes", chosen).catch(() => null);
  if (said) {
    const color = said.user_attributes.color;
    list.style.setProperty("--mine", color);
    document.querySelector(".who .avatar").style.background = color;
  }
  profile.returnValue = "";
});

poll();
