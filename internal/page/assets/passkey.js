// Passkeys: the only step that needs a script. Without one the form stays
// hidden and the page offers the other methods. WebAuthn Level 3 §5.
"use strict";

(() => {
  const bytes = (s) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const known = (list) => (list || []).map((c) => ({ ...c, id: bytes(c.id) }));

  const options = (o) => {
    const p = { ...(o.publicKey || o) };
    p.challenge = bytes(p.challenge);
    if (p.user) p.user = { ...p.user, id: bytes(p.user.id) };
    if (p.excludeCredentials) p.excludeCredentials = known(p.excludeCredentials);
    if (p.allowCredentials) p.allowCredentials = known(p.allowCredentials);
    return p;
  };

  const answer = (c) => {
    const r = c.response, response = { clientDataJSON: text(r.clientDataJSON) };
    for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (r[name]) response[name] = text(r[name]);
    }
    if (r.getTransports) response.transports = r.getTransports();
    return JSON.stringify({
      id: c.id, rawId: text(c.rawId), type: c.type, response,
      authenticatorAttachment: c.authenticatorAttachment || undefined,
      clientExtensionResults: c.getClientExtensionResults(),
    });
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const unable = form.nextElementSibling;
    if (!window.PublicKeyCredential || !navigator.credentials) {
      if (unable && unable.matches("[data-passkey-unable]")) unable.hidden = false;
      continue;
    }
    form.hidden = false;
    const asked = options(JSON.parse(form.dataset.passkey));
    const status = form.querySelector("[data-passkey-status]");
    let waiting; // for a passkey chosen in the list of the field
    const send = (credential) => {
      form.elements.passkey.value = answer(credential);
      form.dataset.answered = "1";
      form.requestSubmit();
    };
    // The browser may offer a passkey in the list of the identifier's field.
    if (form.dataset.auto && PublicKeyCredential.isConditionalMediationAvailable) {
      PublicKeyCredential.isConditionalMediationAvailable().then((able) => {
        if (!able || form.dataset.answered) return;
        waiting = new AbortController();
        navigator.credentials.get({ publicKey: asked, mediation: "conditional", signal: waiting.signal }).then(send).catch(() => {});
      });
    }
    form.addEventListener("submit", (event) => {
      if (form.dataset.answered) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if (waiting) waiting.abort();
      status.textContent = "";
      const act = form.dataset.make ? navigator.credentials.create({ publicKey: asked }) : navigator.credentials.get({ publicKey: asked });
      act.then(send).catch((error) => {
        if (error.name === "AbortError") return;
        status.textContent = error.name === "InvalidStateError" ? form.dataset.already : form.dataset.cancelled;
      });
    }, true);
  }
})();
