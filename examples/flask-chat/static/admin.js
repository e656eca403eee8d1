"use strict";
// The team's page. It shows what the server says every two seconds; the one thing it keeps itself is the
// answer that is being written.

const POLL_MS = 2000;
const byId = (id) => document.getElementById(id);
const switches = [...document.querySelectorAll(".switch input")];
let mine = null;

function toast(text) {
  byId("toast").textContent = text;
  byId("toast").hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { byId("toast").hidden = true; }, 4000);
}

async function attempt(path, content) {
  try {
    return await ask(path, content);
  } catch (refused) {
    if (refused.status === 401) {
      location.assign("/admin/");
    }
    toast(refused.message);
    return null;
  }
}

function showInstances(instances) {
  byId("instances").replaceChildren(...instances.map((instance, n) => make("span",
    {class: `instance ${instance.state}`, title: instance.name}, make("span", {}, "respgres"),
    `${n + 1} ${instance.state}`)));
}

function quote(entry, kind) {
  const flags = `${entry.crisis_detected ? " crisis" : ""}${entry.taken && !entry.mine ? " taken" : ""}`;
  return make(kind, {class: (kind === "div" ? "quote" : "") + flags},
    make("small", {}, make("span", {}, entry.username + (entry.crisis_detected ? " · alarm" : "")),
      make("span", {}, entry.taken && !entry.mine ? "somebody answers" : ago(entry.at))),
    make("p", {}, entry.content));
}

function showQueue(queue) {
  byId("queue-count").textContent = queue.length;
  const others = queue.filter((entry) => !entry.mine);
  byId("waiting").replaceChildren(...others.map((entry) => quote(entry, "li")));
  byId("nothing-waits").hidden = queue.length > 0;
  byId("take").disabled = queue.every((entry) => entry.taken);
  const own = queue.find((entry) => entry.mine);
  if (own && (!mine || mine.id !== own.id)) {
    showMine(own);
  } else if (!own && mine) {
    showMine(null);
  }
}

function showMine(entry) {
  mine = entry;
  byId("mine").hidden = !entry;
  byId("mine").replaceChildren();
  if (!entry) {
    return;
  }
  const text = make("textarea", {"aria-label": "Your answer", placeholder: "Your answer…"});
  const send = make("button", {class: "primary"}, "Answer");
  const back = make("button", {class: "quiet"}, "Give back");
  send.addEventListener("click", async () => {
    send.disabled = true;
    if (text.value.trim() && await attempt("/admin/answer", {id: entry.id, content: text.value})) {
      showMine(null);
      refresh();
    }
    send.disabled = false;
  });
  back.addEventListener("click", async () => {
    await attempt("/admin/give-back", {id: entry.id});
    showMine(null);
    refresh();
  });
  byId("mine").append(quote(entry, "div"), text, make("div", {class: "row end"}, back, send));
  text.focus();
}

function showSessions(sessions, count) {
  byId("no-sql").hidden = sessions !== null;
  byId("people").querySelector("table").classList.toggle("old", sessions === null);
  if (sessions === null) { // what was seen last stays, greyed
    for (const button of byId("sessions").querySelectorAll("button")) {
      button.disabled = true;
    }
    return;
  }
  byId("session-count").textContent = count;
  byId("sessions").replaceChildren(...sessions.map((person) => {
    const color = (person.user_attributes || {}).color || "#64748b";
    const kick = make("button", {class: "danger", "aria-label": `Kick ${person.username}`}, "Kick");
    kick.addEventListener("click", async () => {
      const said = await attempt("/admin/kick", {username: person.username});
      if (said) {
        toast(said.untold.length ? `Kicked, but ${said.untold.join(", ")} may not know yet: try again.`
          : `${person.username} has been kicked.`);
        refresh();
      }
    });
    const avatar = make("span", {class: "avatar"}, person.username[0].toUpperCase());
    avatar.style.background = color;
    const name = make("span", {class: "person"}, avatar, person.username);
    if (person.crisis_detected) {
      name.append(make("span", {class: "badge"}, "alarm"));
    }
    return make("tr", {}, make("td", {}, name), make("td", {class: "last"}, person.last_message || "–"),
      make("td", {class: "number"}, String(person.messages)),
      make("td", {class: "active muted"}, ago(person.last_activity)),
      make("td", {class: "from muted", title: person.user_agent || ""}, person.client_ip || ""), make("td", {}, kick));
  }));
}

let refreshing = 0;
async function refresh() {
  const turn = ++refreshing;
  const state = await attempt("/admin/state");
  if (!state || turn !== refreshing) {
    return; // a later one is under way
  }
  showInstances(state.instances);
  showQueue(state.queue);
  showSessions(state.sessions, state.session_count);
  for (const input of switches) {
    input.checked = state.switches[input.name];
  }
}

for (const input of switches) {
  input.addEventListener("change", async () => {
    if (!await attempt("/admin/switch", {name: input.name, on: input.checked})) {
      input.checked = !input.checked;
    }
    refresh();
  });
}

byId("take").addEventListener("click", async () => {
  const said = await attempt("/admin/take", {});
  if (said && said.entry) {
    showMine(said.entry);
  } else if (said) {
    toast("Others have taken all of them.");
  }
  refresh();
});

byId("logout").addEventListener("click", async () => {
  await attempt("/admin/logout", {});
  location.assign("/admin/");
});

async function poll() {
  await refresh();
  setTimeout(poll, POLL_MS);
}

poll();
