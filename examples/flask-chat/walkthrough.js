"use strict";
// The pages of the chat, walked through as people would, in headless Chromium. Each step asserts what is
// shown. Called by `walkthrough`.

const assert = require("node:assert");
const {execSync} = require("node:child_process");
const path = require("node:path");
const {chromium} = require("playwright-core");

const url = process.env.CHAT_URL;
const password = process.env.CHAT_ADMIN_PASSWORD;
const pictures = process.argv[2];
const DESK = {width: 1180, height: 740};
const PHONE = {width: 390, height: 780};
const PATIENCE_MS = 30000;

let browser;
const faults = []; // what pages report: errors of scripts, refused sources

async function person(viewport) {
  const context = await browser.newContext({viewport, locale: "en-GB"});
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) {
      faults.push(`${request.url()} is not on this server`);
    }
  });
  return page;
}

async function picture(page, name) {
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({path: path.join(pictures, `chat-${name}.png`)});
}

function step(text) {
  console.log(`- ${text}`);
}

async function until(condition, what) {
  const end = Date.now() + PATIENCE_MS;
  while (!await condition()) {
    assert(Date.now() < end, `not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function logIn(page, name) {
  await page.goto(`${url}/`);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", {name: "Start chatting"}).click();
  await page.getByText(`Hello ${name}. What is on your mind?`).waitFor();
}

async function adminLogIn(page, name) {
  await page.goto(`${url}/admin/`);
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", {name: "Log in"}).click();
  await page.getByRole("heading", {name: "Live sessions"}).waitFor();
}

async function say(page, text) {
  await page.getByLabel("Message").fill(text);
  await page.getByRole("button", {name: "Send"}).click();
  await page.locator(".message.user:not(.sending)", {hasText: text}).waitFor();
}

const row = (admin, name) => admin.locator("#sessions tr", {hasText: name});
const number = async (admin, id) => Number(await admin.locator(`#${id}`).textContent());

async function strangers() {
  step("nobody is let in without logging in");
  const stranger = await person(DESK);
  for (const [where, what] of [["/messages", 401], ["/admin/state", 401]]) {
    assert.equal((await stranger.request.get(url + where)).status(), what);
  }
  await stranger.goto(`${url}/admin/`);
  await stranger.getByLabel("Your name").fill("eve");
  await stranger.getByLabel("Password").fill("guessed");
  await stranger.getByRole("button", {name: "Log in"}).click();
  await stranger.getByText("That is not the password.").waitFor();
  await stranger.context().close();
}

async function users() {
  step("ada logs in and chats");
  const ada = await person(DESK);
  await ada.goto(`${url}/`);
  await picture(ada, "login");
  await logIn(ada, "Ada");
  await say(ada, "Hello!");
  await ada.getByText("Hello Ada! What can I do for you today?").waitFor();
  await say(ada, "Do you have a moment for me?");
  await ada.getByText("Could you tell me a little more about it?").waitFor();

  step("she tells about herself, and it is there after a reload");
  await ada.getByRole("button", {name: "Ada"}).click();
  await ada.locator(".swatches label").nth(1).click();
  await ada.getByLabel("Language").fill("English");
  await ada.getByRole("button", {name: "Save"}).click();
  await until(() => ada.evaluate(() => document.querySelector(".who .avatar").style.background
    === "rgb(14, 116, 144)"), "the colour has changed");
  await ada.reload();
  await ada.getByText("Hello Ada! What can I do for you today?").waitFor();
  assert.equal(await ada.getByLabel("Language").inputValue(), "English");

  step("a message that gives cause for alarm waits for a person");
  await say(ada, "To be honest, I feel hopeless today.");
  await ada.getByText("A person reads this and will answer you here.").waitFor();
  await ada.getByText("waits for a person").waitFor();

  step("others come, one with a phone");
  const bob = await person(PHONE);
  await logIn(bob, "Bob");
  await say(bob, "hi");
  await say(bob, "I cannot log in to my account");
  await bob.getByText("What happens when you log in?").waitFor();
  await picture(bob, "phone");
  assert(await bob.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth),
    "nothing is wider than the phone");
  const more = [];
  for (const [name, text] of [["Carla", "What do the plans cost?"], ["Dimitri", "Thanks, that helped."],
    ["Emma", "Good morning"], ["Farid", "I would like to change my address"]]) {
    const page = await person(DESK);
    await logIn(page, name);
    await say(page, text);
    more.push(page);
  }
  return {ada, bob, more};
}

async function team({ada, bob}) {
  step("an admin sees who is there, and which instances are");
  const kim = await person(DESK);
  await adminLogIn(kim, "Kim");
  await until(async () => await number(kim, "session-count") === 6, "six sessions are listed");
  await row(kim, "Ada").getByText("alarm", {exact: true}).waitFor();
  await row(kim, "Ada").getByText("To be honest, I feel hopeless today.").waitFor();
  assert.equal(await kim.locator(".instance.online").count(), 3);
  assert.equal(await number(kim, "queue-count"), 1);

  step("ADMIN_MODE: what is said now waits, too");
  await kim.locator("label.switch", {hasText: "ADMIN_MODE"}).click();
  await kim.reload();
  await until(() => kim.locator("input[name=ADMIN_MODE]").isChecked(), "the switch is kept");
  await say(bob, "Is anybody there?");
  await bob.getByText("Somebody will answer you here in a moment.").waitFor();
  await until(async () => await number(kim, "queue-count") === 2, "two messages wait");

  step("two admins take different messages");
  await kim.getByRole("button", {name: "Take the next message"}).click();
  await kim.locator("#mine").getByText("I feel hopeless today").waitFor();
  const lee = await person(PHONE);
  await adminLogIn(lee, "Lee");
  await lee.getByText("somebody answers").waitFor();
  await lee.getByRole("button", {name: "Take the next message"}).click();
  await lee.locator("#mine").getByText("Is anybody there?").waitFor();
  await kim.getByLabel("Your answer").fill("I am here, Ada, and I have time. What happened today?");
  await kim.getByText("somebody answers").waitFor();
  await picture(kim, "admin");
  assert(await lee.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth),
    "nothing is wider than the phone");
  await picture(lee, "admin-phone");

  step("the answers come to who has asked");
  await kim.getByRole("button", {name: "Answer", exact: true}).click();
  await ada.getByText("I am here, Ada, and I have time.").waitFor();
  await ada.locator(".message.admin", {hasText: "Kim"}).waitFor();
  await until(async () => await ada.getByText("waits for a person").count() === 0, "nothing waits");
  await picture(ada, "user");
  await lee.getByLabel("Your answer").fill("Yes, Bob, I am.");
  await lee.getByRole("button", {name: "Answer", exact: true}).click();
  await bob.getByText("Yes, Bob, I am.").waitFor();
  await kim.getByText("Nothing waits.").waitFor();

  step("ADMIN_MODE off, AI_AUTO_REPLY off and on again");
  await kim.locator("label.switch", {hasText: "ADMIN_MODE"}).click();
  await kim.locator("label.switch", {hasText: "AI_AUTO_REPLY"}).click();
  await until(async () => !(await lee.locator("input[name=ADMIN_MODE]").isChecked())
    && !(await lee.locator("input[name=AI_AUTO_REPLY]").isChecked()), "the other admin sees it");
  await lee.locator("label.switch", {hasText: "AI_AUTO_REPLY"}).click();
  await until(() => kim.locator("input[name=AI_AUTO_REPLY]").isChecked(), "it is on again");
  await lee.context().close();
  return kim;
}

async function markup(kim, {more: [carla]}) {
  step("text is not taken for HTML");
  await say(carla, "<b>Please</b>");
  assert.equal(await carla.locator(".message b").count(), 0);
  await row(kim, "Carla").getByText("<b>Please</b>", {exact: true}).waitFor();
}

async function kicked(kim, {bob}) {
  step("bob is kicked, and is out at once, whichever instance he asks");
  const cookies = await bob.context().cookies();
  await row(kim, "Bob").getByRole("button", {name: "Kick Bob"}).click();
  await kim.getByText("Bob has been kicked.").waitFor();
  await bob.getByRole("button", {name: "Start chatting"}).waitFor();
  for (let node = 1; node <= 3; node++) {
    await bob.context().addCookies(cookies.map((cookie) => (
      cookie.name === "node" ? {...cookie, value: String(node)} : cookie)));
    assert.equal((await bob.request.get(`${url}/messages`)).status(), 401);
  }
  await until(async () => await row(kim, "Bob").count() === 0, "he is not listed any more");
}

async function outage(kim, {ada}) {
  step("PostgreSQL goes away; the chat goes on");
  execSync(process.env.CHAT_AWAY, {stdio: "ignore"});
  await until(async () => await kim.locator(".instance.away").count() === 3, "all three know");
  await kim.getByText("PostgreSQL is away.").waitFor();
  await say(ada, "thanks for being there");
  await ada.getByText("You are welcome, Ada.").waitFor();
  await picture(kim, "away");

  step("and comes back");
  execSync(process.env.CHAT_BACK, {stdio: "ignore"});
  await until(async () => await kim.locator(".instance.online").count() === 3, "all three know");
  await row(kim, "Ada").getByText("thanks for being there").waitFor();
}

async function loggedOut({ada}) {
  step("ada logs out");
  const cookies = await ada.context().cookies();
  await ada.getByRole("button", {name: "Log out"}).click();
  await ada.getByRole("button", {name: "Start chatting"}).waitFor();
  await ada.context().addCookies(cookies);
  assert.equal((await ada.request.get(`${url}/messages`)).status(), 401);
}

async function main() {
  browser = await chromium.launch({executablePath: "/usr/bin/chromium", args: ["--no-sandbox"]});
  try {
    await strangers();
    const who = await users();
    const kim = await team(who);
    await markup(kim, who);
    await kicked(kim, who);
    if (process.env.CHAT_AWAY) {
      await outage(kim, who);
    }
    await loggedOut(who);
    assert.deepEqual(faults, []);
    console.log("all pages are as they must be");
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
