// oidc-provider with client credentials, and two paths for the tests: how many tokens were asked for, and "be ill".
import Provider from 'oidc-provider';

const [port, secret] = [Number(process.argv[2]), process.argv[3]];
const client = (id, method) => ({
  client_id: id, client_secret: secret, token_endpoint_auth_method: method,
  grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope: 'hearings:write',
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    client('hms-sync', 'client_secret_basic'),
    client('hms-brief', 'client_secret_basic'), // its tokens live for three seconds
    client('hms-post', 'client_secret_post'),
  ],
  scopes: ['hearings:write'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:hearings',
      getResourceServerInfo: (ctx, resource, { clientId }) => ({
        scope: 'hearings:write', audience: 'urn:hearings', accessTokenFormat: 'opaque',
        accessTokenTTL: clientId === 'hms-brief' ? 3 : 600,
      }),
    },
  },
});

let [asked, illness] = [0, 0];
provider.use(async (ctx, next) => {
  if (ctx.path === '/test/asked') { ctx.body = { asked }; return; }
  if (ctx.path === '/test/ill') { illness = Number(ctx.query.status); ctx.body = {}; return; }
  if (ctx.path === '/token') {
    asked += 1;
    if (illness) { ctx.status = illness; ctx.body = 'ill'; return; }
  }
  await next();
});
provider.listen(port, '127.0.0.1');
