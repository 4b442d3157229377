// An application that signs people in by OpenID Connect with npm openid-client,
// and checks what it is told with npm jose; nobody here wrote either. A browser
// goes to /login; the other paths do one thing each and answer in JSON. It
// prints the address where it is.
// Usage: node client.mjs '{"issuer":…,"client":…,"secret":…,"port":…,"tells":…,"fapi":…,"metadata":…}'
import dns from 'node:dns'
import { createServer } from 'node:http'
import * as client from 'openid-client'
import * as jose from 'jose'

// Every *.localhost is this machine (RFC 6761 §6.3), whatever its resolver knows.
const lookup = dns.lookup
dns.lookup = (host, options, done) => {
  if (!host.endsWith('.localhost')) return lookup(host, options, done)
  if (typeof options === 'function') return options(null, '127.0.0.1', 4)
  return options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)
}

const asked = JSON.parse(process.argv[2])
const mine = await jose.generateKeyPair('ES256', { extractable: true })
const published = { keys: [{ ...await jose.exportJWK(mine.publicKey), kid: 'mine', alg: 'ES256', use: 'sig' }] }
const told = [] // what the back channel said
let config, DPoP, pending, tokens, base

async function discover() {
  if (config) return
  const auth = asked.fapi ? client.PrivateKeyJwt({ key: mine.privateKey, kid: 'mine' })
    : asked.secret ? (asked.post ? client.ClientSecretPost : client.ClientSecretBasic)(asked.secret) : client.None()
  config = await client.discovery(new URL(asked.issuer), asked.client, asked.metadata ?? {}, auth, { execute: [client.allowInsecureRequests] })
  if (asked.fapi) DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
}

const how = () => (DPoP ? { DPoP } : undefined)

const said = (answer) => ({ ...answer, claims: answer.claims?.(), lasts: answer.expiresIn?.() })

// The signature, issuer, audience, time and type by jose; the rest is Back-Channel Logout 1.0 §2.6.
async function verified(token) {
  const keys = jose.createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri))
  const { payload, protectedHeader } = await jose.jwtVerify(token, keys, {
    issuer: asked.issuer, audience: asked.client, typ: 'logout+jwt', requiredClaims: ['iat', 'exp', 'jti', 'events'], maxTokenAge: '2 minutes', clockTolerance: 5,
  })
  if (!payload.events['http://schemas.openid.net/event/backchannel-logout'] || payload.nonce !== undefined || !payload.sub && !payload.sid) throw new Error('not a logout token')
  return { ...payload, alg: protectedHeader.alg }
}

const acts = {
  '/jwks': () => published,
  '/told': () => told,
  '/metadata': () => config.serverMetadata(),
  '/login': async (url) => {
    const verifier = client.randomPKCECodeVerifier()
    pending = { pkceCodeVerifier: verifier, expectedState: client.randomState(), expectedNonce: client.randomNonce(), idTokenExpected: true }
    const parameters = {
      scope: 'openid profile email', ...Object.fromEntries(url.searchParams), redirect_uri: base + (asked.path ?? '/cb'),
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', state: pending.expectedState, nonce: pending.expectedNonce,
    }
    if (parameters.max_age !== undefined) pending.maxAge = Number(parameters.max_age)
    return asked.fapi ? client.buildAuthorizationUrlWithPAR(config, parameters, how()) : client.buildAuthorizationUrl(config, parameters)
  },
  '/cb': async (url) => {
    tokens = await client.authorizationCodeGrant(config, url, pending, undefined, how())
    return said(tokens)
  },
  '/refresh': async (url) => {
    const answer = await client.refreshTokenGrant(config, url.searchParams.get('token') ?? tokens.refresh_token, undefined, how())
    tokens = { ...tokens, ...answer }
    return said(answer)
  },
  '/userinfo': (url) => client.fetchUserInfo(config, tokens.access_token, url.searchParams.get('sub') ?? tokens.claims().sub, how()),
  '/introspect': (url) => client.tokenIntrospection(config, url.searchParams.get('token') ?? tokens.access_token),
  '/revoke': async (url) => {
    await client.tokenRevocation(config, url.searchParams.get('token') ?? tokens.refresh_token)
    return {}
  },
  '/logout': () => client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: base + '/out', state: 'see-you' }),
  '/out': (url) => ({ out: true, state: url.searchParams.get('state') }),
}

async function body(request) {
  let all = ''
  for await (const part of request) all += part
  return new URLSearchParams(all)
}

async function serve(request, response) {
  const url = new URL(request.url, base)
  const answer = (status, value) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  try {
    if (url.pathname !== '/jwks') await discover()
    if (request.method === 'POST' && url.pathname === '/bcl') {
      told.push(await verified((await body(request)).get('logout_token')))
      return response.writeHead(200, { 'cache-control': 'no-store' }).end()
    }
    const act = acts[url.pathname === (asked.path ?? '/cb') ? '/cb' : url.pathname]
    if (!act) return answer(404, {})
    const value = await act(url)
    if (value instanceof URL) return response.writeHead(303, { location: value.href }).end()
    return answer(200, value)
  } catch (e) {
    // It does not read the body beside a challenge (RFC 6749 §5.2).
    const beside = e.code === 'OAUTH_WWW_AUTHENTICATE_CHALLENGE' ? await e.response.json() : {}
    return answer(400, { error: beside.error ?? e.error ?? e.code ?? e.name, description: e.error_description ?? e.message, cause: String(e.cause?.message ?? e.cause ?? ''), status: e.status })
  }
}

async function listen(port) {
  const server = createServer(serve)
  await new Promise((done, fail) => server.once('error', fail).listen(port, '127.0.0.1', done))
  return `http://127.0.0.1:${server.address().port}`
}

base = await listen(asked.port ?? 0)
if (asked.tells) await listen(asked.tells)
console.log(base)
process.stdin.on('end', () => process.exit(0)).resume() // ends with the test
