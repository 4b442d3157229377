// Kept on the device: the shell, the offline page with its help numbers.
// Never a page that was asked for: those carry personal data.
"use strict";

const version = "parvis-VERSION";
const shell = "SHELL";
const language = new URL(self.location.href).searchParams.get("lang") === "en" ? "en" : "fr";
const offline = "/offline?lang=" + language;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(version + language)
      // Without cookies: the offline page must be the one a stranger sees.
      .then((cache) => cache.addAll([...shell, offline].map((path) => new Request(path, { credentials: "omit", cache: "reload" }))))
      .then(() => self.skipWaiting())
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((n) => n.startsWith("parvis-") && n !== version + language).map((n) => caches.delete(n))))
      .then(() => self.clients.claim())
  );
});

self.addEventListener("fetch", (event) => {
  const request = event.request;
  if (request.method !== "GET") return;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return;
  if (request.mode === "navigate") {
    event.respondWith(fetch(request).catch(() => caches.match(offline).then((page) => page || Response.error())));
    return;
  }
  if (shell.includes(url.pathname)) {
    event.respondWith(caches.match(url.pathname).then((kept) => kept || fetch(request)));
  }
});
