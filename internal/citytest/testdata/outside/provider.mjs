// An OpenID provider that nobody here wrote (npm oidc-provider), with its own
// sign-in pages: any login and password are taken. It prints its issuer.
// Usage: node provider.mjs REDIRECT-URI…
import { createServer } from 'node:http'
import Provider from 'oidc-provider'

const server = createServer()
await new Promise((done) => server.listen(0, '127.0.0.1', done))
const issuer = `http://127.0.0.1:${server.address().port}`
const provider = new Provider(issuer, {
  clients: [{
    client_id: 'parvis',
    client_secret: 'outside-secret-of-the-tests',
    redirect_uris: process.argv.slice(2),
    response_types: ['code'],
    grant_types: ['authorization_code'],
    userinfo_signed_response_alg: process.env.SIGNED_USERINFO || undefined,
  }],
  pkce: { required: () => true },
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  features: { userinfo: { enabled: true }, jwtUserinfo: { enabled: true } },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@elsewhere.example.org`, email_verified: true }) }),
})
server.on('request', provider.callback())
console.log(issuer)
process.stdin.on('end', () => process.exit(0)).resume() // ends with the test
