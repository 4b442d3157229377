// Kept on the device: the shell, the offline page with its help numbers.
// Never a page that was asked for: those carry personal data.
"use strict";

const version = "parvis-VERSION";
const shell = "SHELL";
const offline = ["/offline?lang=fr", "/offline?lang=en"];
const spoken = "/offline/spoken"; // an entry of the cache: the language of the last page

// Pages say their language, so that one worker serves both: two of them would
// replace each other under a visitor who changes language.
self.addEventListener("message", (event) => {
  if (event.data !== "fr" && event.data !== "en") return;
  event.waitUntil(caches.open(version).then((cache) => cache.put(spoken, new Response(event.data))));
});

async function withoutNetwork() {
  const said = await caches.match(spoken);
  const page = await caches.match("/offline?lang=" + (said ? await said.text() : "fr"));
  return page || Response.error();
}

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(version)
      // Without cookies: the offline page must be the one a stranger sees.
      .then((cache) => cache.addAll([...shell, ...offline].map((path) => new Request(path, { credentials: "omit", cache: "reload" }))))
      .then(() => self.skipWaiting())
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((n) => n.startsWith("parvis-") && n !== version).map((n) => caches.delete(n))))
      .then(() => self.clients.claim())
  );
});

self.addEventListener("fetch", (event) => {
  const request = event.request;
  if (request.method !== "GET") return;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return;
  if (request.mode === "navigate") {
    event.respondWith(fetch(request).catch(withoutNetwork));
    return;
  }
  if (shell.includes(url.pathname)) {
    event.respondWith(caches.match(url.pathname).then((kept) => kept || fetch(request)));
  }
});
