// Everything here adds to a page that works without it.
"use strict";

(() => {
  const root = document.documentElement;
  const all = (selector) => Array.from(document.querySelectorAll(selector));

  // Copy a reference.
  for (const button of all("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    const label = button.querySelector("[data-copy-text]");
    const before = label.textContent;
    button.addEventListener("click", () => {
      const source = document.getElementById(button.dataset.copy);
      navigator.clipboard.writeText(source.textContent.trim()).then(() => {
        label.textContent = button.dataset.copied;
        const status = button.closest(".copyable").querySelector("[data-copy-status]");
        if (status) status.textContent = button.dataset.copied;
        setTimeout(() => {
          label.textContent = before;
          if (status) status.textContent = "";
        }, 4000);
      });
    });
  }

  // Print a sheet.
  for (const button of all("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }

  // Show and hide a password.
  for (const button of all("[data-show]")) {
    const field = document.getElementById(button.dataset.show);
    const label = button.querySelector("[data-show-text]");
    const before = label.textContent;
    const set = (shown) => {
      field.type = shown ? "text" : "password";
      button.setAttribute("aria-pressed", String(shown));
      label.textContent = shown ? button.dataset.hideText : before;
    };
    button.hidden = false;
    button.addEventListener("click", () => set(field.type === "password"));
    // A browser must not remember it as ordinary text.
    if (field.form) field.form.addEventListener("submit", () => set(false));
  }

  // The theme changes at once; the server remembers it.
  for (const form of all("[data-theme-form]")) {
    form.addEventListener("submit", (event) => {
      const chosen = event.submitter;
      if (!chosen || !window.fetch) return;
      event.preventDefault();
      if (chosen.value === "system") root.removeAttribute("data-theme");
      else root.setAttribute("data-theme", chosen.value);
      for (const b of form.querySelectorAll("button")) b.setAttribute("aria-pressed", String(b === chosen));
      const body = new URLSearchParams(new FormData(form));
      body.set("theme", chosen.value);
      fetch(form.action, { method: "POST", body, redirect: "manual" }).catch(() => {});
      const panel = form.closest("details");
      panel.open = false;
      panel.querySelector("summary").focus();
    });
  }

  // An open panel closes by Escape or by a click elsewhere.
  document.addEventListener("keydown", (event) => {
    const panel = event.key === "Escape" && document.querySelector("details.theme[open]");
    if (panel) {
      panel.open = false;
      panel.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", (event) => {
    const panel = document.querySelector("details.theme[open]");
    if (panel && !panel.contains(event.target)) panel.open = false;
  });

  // One press, one sending.
  for (const form of all("form[data-guard], form.inline-form")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "1";
      const button = event.submitter;
      const label = button && button.querySelector("span");
      if (!label || !button.dataset.sending) return;
      button.dataset.before = label.textContent;
      button.setAttribute("aria-disabled", "true");
      label.textContent = button.dataset.sending;
    });
  }
  // Coming back by the Back button finds the form ready again.
  window.addEventListener("pageshow", () => {
    for (const form of all("form[data-sent]")) {
      delete form.dataset.sent;
      for (const button of form.querySelectorAll("[data-before]")) {
        button.querySelector("span").textContent = button.dataset.before;
        button.removeAttribute("aria-disabled");
        delete button.dataset.before;
      }
    }
  });

  // The end of a session is announced, and can be put off.
  const session = document.querySelector("[data-session]");
  if (session) {
    const form = session.querySelector("form");
    const text = session.querySelector("p");
    const before = text.textContent;
    const button = form.querySelector("button");
    let timer;
    const start = (left) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        text.textContent = "";
        button.hidden = false;
        form.hidden = false;
        // Text put in after the region is shown is what readers announce.
        text.textContent = before;
      }, Math.max(0, left - Number(session.dataset.warn)) * 1000);
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      fetch(form.action, { method: "POST", headers: { Accept: "application/json" } })
        .then((answer) => {
          if (!answer.ok) throw new Error();
          text.textContent = session.dataset.extended;
          button.hidden = true;
          setTimeout(() => { form.hidden = true; }, 5000);
          start(Number(answer.headers.get("Session-Left") || session.dataset.left));
        })
        .catch(() => form.submit());
    });
    start(Number(session.dataset.left));
  }

  // After a refused form, the list of errors is where reading starts.
  const summary = document.querySelector("[data-summary]");
  if (summary) summary.focus();

  if ("serviceWorker" in navigator && window.isSecureContext) {
    navigator.serviceWorker.register("/sw.js").catch(() => {});
    navigator.serviceWorker.ready.then((worker) => worker.active.postMessage(root.lang === "en" ? "en" : "fr"));
  }
})();
