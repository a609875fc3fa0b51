// A receiver of webhooks: judged by standardwebhooks, cloudevents and node's own Ed25519, one line of JSON per request.
"use strict";
const http = require("http");
const crypto = require("crypto");
const { Webhook } = require("standardwebhooks");
const { HTTP } = require("cloudevents");

const secret = process.env.HOOK_SECRET;
const publicKey = process.env.HOOK_PUBLIC_KEY;

function attempt(judge) {
  try {
    return { ok: judge() };
  } catch (error) {
    return { error: String(error.message || error) };
  }
}

function ed25519(headers, body) {
  const x = Buffer.from(publicKey.replace("whpk_", ""), "base64").toString("base64url");
  const key = crypto.createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const head = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`);
  const told = headers["webhook-signature"].split(" ").filter((each) => each.startsWith("v1a,"));
  return told.some((each) => crypto.verify(null, Buffer.concat([head, body]), key, Buffer.from(each.slice(4), "base64")));
}

function events(headers, body) {
  const found = HTTP.toEvent({ headers, body: body.toString() });
  return (Array.isArray(found) ? found : [found]).map((each) => {
    each.validate();
    return each.toJSON();
  });
}

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts);
    const seen = {
      headers: request.headers,
      body: body.toString(),
      hmac: attempt(() => { new Webhook(secret).verify(body, request.headers, { jsonParse: false }); return true; }),
      ed25519: attempt(() => ed25519(request.headers, body)),
      events: attempt(() => events(request.headers, body)),
    };
    process.stdout.write(JSON.stringify(seen) + "\n");
    response.writeHead(204).end();
  });
});
server.listen(0, "127.0.0.1", () => process.stdout.write(JSON.stringify({ port: server.address().port }) + "\n"));
