// A real OpenID provider, https://github.com/panva/node-oidc-provider: ISSUER PORT REDIRECT_URI.
// Its own form takes any name and password; what it claims of a user follows from the name.
import Provider from "oidc-provider";

const [issuer, port, redirect] = process.argv.slice(2);
const claims = (id) => ({
  sub: id,
  email: id,
  email_verified: !id.startsWith("unverified"),
  groups: id.startsWith("ops") ? ["staff", "ops"] : ["staff"],
  preferred_username: "ann@example.com",
});
const client = { grant_types: ["authorization_code"], response_types: ["code"], redirect_uris: [redirect] };
const provider = new Provider(issuer, {
  clients: [
    { ...client, client_id: "umbel", client_secret: "secret-of-the-test" },
    { ...client, client_id: "public", token_endpoint_auth_method: "none" },
  ],
  pkce: { required: () => true },
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["groups", "preferred_username"] },
  findAccount: (_, id) => ({ accountId: id, claims: () => claims(id) }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
