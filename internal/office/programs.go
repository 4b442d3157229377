package office

import (
	"net/url"
	"slices"
	"strings"

	"parvis"
	"parvis/internal/seal"
)

// program is a known program with its settings, ready to be pasted.
type program struct{ key, name, content string }

// ready writes the settings of known programs for one entrance. Values that only
// the reader knows stand in capitals; a secret that is not shown stands so too.
func (o *Office) ready(a *parvis.App, on parvis.Channel, secret seal.Secret) []program {
	portal := o.Addresses.Portal(on)
	var all []program
	if a.Forward {
		all = append(all, proxies(o.Addresses.App(on, a.ID))...)
	}
	if a.OIDC != nil && secretive(a) {
		all = append(all, clients(a, portal, secret)...)
	}
	if a.CAS != nil {
		all = append(all, program{"mod_auth_cas", "Apache mod_auth_cas", fill(`CASCookiePath /var/cache/apache2/mod_auth_cas/
CASLoginURL {portal}/cas/login
CASValidateURL {portal}/cas/serviceValidate
CASVersion 2
CASSSOEnabled {logout}
<Location "{path}">
  AuthType CAS
  Require valid-user
</Location>
`, "portal", portal, "logout", onOff(a.CAS.Logout), "path", pathOf(a.CAS.Services))})
	}
	if a.SAML != nil {
		all = append(all, program{"mod_auth_mellon", "Apache mod_auth_mellon", fill(`# curl -o /etc/apache2/mellon/parvis.xml {portal}/saml/metadata
<Location "/">
  MellonEnable auth
  MellonEndpointPath /mellon
  MellonSPMetadataFile /etc/apache2/mellon/sp.xml
  MellonSPPrivateKeyFile /etc/apache2/mellon/sp.key
  MellonSPCertFile /etc/apache2/mellon/sp.cert
  MellonIdPMetadataFile /etc/apache2/mellon/parvis.xml
  MellonUser uid
  AuthType Mellon
  Require valid-user
</Location>
`, "portal", portal)})
	}
	return all
}

// proxies are the settings of proxies that ask Parvis before they let a request
// through: the part of deploy/proxies that is about one application. It answers
// on its own host below the portal's, where /.parvis/begin and enter are ours and
// mark the browser. own is the origin of that host.
func proxies(own string) []program {
	var all []program
	for _, p := range []program{{"nginx", "nginx", nginxSite}, {"caddy", "Caddy", caddySite}, {"traefik", "Traefik", traefikRoutes}} {
		p.content = fill(p.content, "own", own, "name", hostOf(own))
		all = append(all, p)
	}
	return all
}

const nginxSite = `map $http_cookie $cookies_once {
  "~^(?<c1>(?:.*;)? *)(?:__Host-)?parvis-app=[^;]*;? *(?<c2>.*)$" $c1$c2;
  default $http_cookie;
}
map $cookies_once $cookies {
  "~^(?<c3>(?:.*;)? *)(?:__Host-)?parvis-enter=[^;]*;? *(?<c4>.*)$" $c3$c4;
  default $cookies_once;
}
server {
  listen 443 ssl;
  server_name {name};
  location = /.parvis/ask {
    internal;
    proxy_pass http://PARVIS:PORT/auth/verify;
    proxy_http_version 1.1;
    proxy_pass_request_body off;
    proxy_set_header Connection "";
    proxy_set_header Content-Length "";
    proxy_set_header X-Original-URL {own}$request_uri;
    proxy_set_header X-Original-Method $request_method;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto "";
    proxy_set_header X-Forwarded-Host "";
    proxy_set_header X-Forwarded-Uri "";
    proxy_set_header X-Forwarded-Method "";
  }
  location ~ ^/\.parvis/(begin|enter)$ {
    auth_request off;
    proxy_pass http://PARVIS:PORT;
    proxy_set_header Host {name};
    proxy_set_header X-Forwarded-For $remote_addr;
  }
  location /.parvis/ { return 404; }
  location / {
    auth_request /.parvis/ask;
    auth_request_set $agent     $upstream_http_remote_user;
    auth_request_set $name      $upstream_http_remote_name;
    auth_request_set $email     $upstream_http_remote_email;
    auth_request_set $groups    $upstream_http_remote_groups;
    auth_request_set $assertion $upstream_http_parvis_assertion;
    auth_request_set $lead      $upstream_http_location;
    error_page 401 = @sign_in;
    error_page 403 = @why;
    proxy_pass http://APPLICATION:PORT;
    proxy_set_header Host {name};
    proxy_set_header Cookie $cookies;
    proxy_set_header Remote-User      $agent;
    proxy_set_header Remote-Name      $name;
    proxy_set_header Remote-Email     $email;
    proxy_set_header Remote-Groups    $groups;
    proxy_set_header Parvis-Assertion $assertion;
    proxy_set_header X-Remote-User    "";
    proxy_set_header X-Forwarded-User "";
    proxy_set_header X-Forwarded-For  $remote_addr;
    proxy_set_header X-Forwarded-Host {name};
  }
  location @sign_in {
    if ($lead) { return 303 $lead; }
    return 401;
  }
  location @why {
    if ($lead) { return 303 $lead; }
    return 403;
  }
}
`

const caddySite = `{own} {
  @begins path /.parvis/begin /.parvis/enter
  handle @begins {
    reverse_proxy PARVIS:PORT
  }
  handle /.parvis/* {
    respond 404
  }
  handle {
    route {
      request_header -Remote*
      request_header -Parvis*
      request_header -X-Remote*
      request_header -X_*
      request_header -X-Original*
      request_header -X-Forwarded-User*
      forward_auth PARVIS:PORT {
        uri /auth/verify
        header_up Host {upstream_hostport}
        copy_headers Remote-User Remote-Name Remote-Email Remote-Groups Parvis-Assertion
      }
      request_header Cookie "(__Host-)?parvis-[a-z]+=[^;]*(; *|$)" "${nothing}"
      reverse_proxy APPLICATION:PORT
    }
  }
}
`

const traefikRoutes = "http:\n" +
	"  routers:\n" +
	"    application-begins:\n" +
	"      rule: Host(`{name}`) && (Path(`/.parvis/begin`) || Path(`/.parvis/enter`))\n" +
	"      priority: 100\n" +
	"      service: parvis\n" +
	"      tls: {}\n" +
	"    application:\n" +
	"      rule: Host(`{name}`)\n" +
	"      priority: 50\n" +
	"      middlewares: [clean, ask]\n" +
	"      service: application\n" +
	"      tls: {}\n" + `  middlewares:
    clean:
      headers:
        customRequestHeaders:
          X-Original-Url: ""
          X-Original-Method: ""
          X-Remote-User: ""
          X-Forwarded-User: ""
          Remote_User: ""
          Remote_Name: ""
          Remote_Email: ""
          Remote_Groups: ""
          Parvis_Assertion: ""
          X_Remote_User: ""
          X_Forwarded_User: ""
    ask:
      forwardAuth:
        address: http://PARVIS:PORT/auth/verify
        trustForwardHeader: false
        authResponseHeaders: [Remote-User, Remote-Name, Remote-Email, Remote-Groups, Parvis-Assertion]
  services:
    parvis:
      loadBalancer:
        passHostHeader: true
        servers: [{url: "http://PARVIS:PORT"}]
    application:
      loadBalancer:
        servers: [{url: "http://APPLICATION:PORT"}]
`

func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Host
	}
	return ""
}

// clients are the settings of programs that sign people in by OpenID Connect.
func clients(a *parvis.App, portal string, secret seal.Secret) []program {
	shown := secret.Reveal()
	if shown == "" {
		shown = "SECRET"
	}
	redirect := "https://HOST.OF.THE.APPLICATION/oidc/callback"
	if len(a.OIDC.Redirects) > 0 {
		redirect = a.OIDC.Redirects[0]
	}
	auth := a.OIDC.Auth
	if auth == "" {
		auth = parvis.ClientSecretBasic
	}
	scope := scopes(a)
	user := "sub"
	if slices.Contains(a.Attributes, "uid") {
		user = "uid"
	}
	values := []string{
		"portal", portal, "id", string(a.ID), "secret", shown, "redirect", redirect, "auth", auth, "scope", scope, "user", user, "path", pathOf([]string{redirect}),
		"quoted", `"` + strings.ReplaceAll(scope, " ", `", "`) + `"`,
	}
	return []program{
		{"mod_auth_openidc", "Apache mod_auth_openidc", fill(`OIDCProviderMetadataURL {portal}/.well-known/openid-configuration
OIDCClientID {id}
OIDCClientSecret {secret}
OIDCProviderTokenEndpointAuth {auth}
OIDCRedirectURI {redirect}
OIDCCryptoPassphrase A-LONG-RANDOM-TEXT-OF-YOUR-OWN
OIDCScope "{scope}"
OIDCPKCEMethod S256
OIDCRemoteUserClaim {user}
<Location "/">
  AuthType openid-connect
  Require valid-user
</Location>
`, values...)},
		{"nextcloud", "Nextcloud (user_oidc)", fill(`occ app:install user_oidc
occ user_oidc:provider parvis \
  --clientid='{id}' --clientsecret='{secret}' \
  --discoveryuri='{portal}/.well-known/openid-configuration' \
  --scope='{scope}' --mapping-uid={user} --unique-uid=0
# {expected}: https://HOST.OF.NEXTCLOUD/apps/user_oidc/code
`, append(values, "expected", "redirect")...)},
		{"gitlab", "GitLab (omniauth)", fill(`# /etc/gitlab/gitlab.rb, then: gitlab-ctl reconfigure
gitlab_rails['omniauth_allow_single_sign_on'] = ['openid_connect']
gitlab_rails['omniauth_block_auto_created_users'] = false
gitlab_rails['omniauth_providers'] = [{
  name: "openid_connect", label: "Parvis",
  args: {
    name: "openid_connect", discovery: true, response_type: "code", pkce: true,
    issuer: "{portal}",
    scope: [{quoted}],
    uid_field: "{user}", client_auth_method: "{gitlab}",
    client_options: {
      identifier: "{id}", secret: "{secret}",
      redirect_uri: "https://HOST.OF.GITLAB/users/auth/openid_connect/callback"
    }
  }
}]
`, append(values, "gitlab", gitlabAuth(auth))...)},
		{"roundcube", "Roundcube", fill(`// config/config.inc.php
$config['oauth_provider'] = 'generic';
$config['oauth_provider_name'] = 'Parvis';
$config['oauth_client_id'] = '{id}';
$config['oauth_client_secret'] = '{secret}';
$config['oauth_auth_uri'] = '{portal}/authorize';
$config['oauth_token_uri'] = '{portal}/token';
$config['oauth_identity_uri'] = '{portal}/userinfo';
$config['oauth_scope'] = '{scope}';
$config['oauth_identity_fields'] = ['email'];
$config['oauth_login_redirect'] = true;
// redirect: https://HOST.OF.ROUNDCUBE/index.php/login/oauth
`, values...)},
	}
}

func gitlabAuth(auth string) string {
	if auth == parvis.ClientSecretPost {
		return "query"
	}
	return "basic"
}

// fill puts values where their names stand in braces; other braces stay.
func fill(pattern string, pairs ...string) string {
	var with []string
	for i := 0; i < len(pairs); i += 2 {
		with = append(with, "{"+pairs[i]+"}", pairs[i+1])
	}
	return strings.NewReplacer(with...).Replace(pattern)
}

func onOff(on bool) string {
	if on {
		return "On"
	}
	return "Off"
}

// pathOf is the path of the first address; "/" when it has none.
func pathOf(addresses []string) string {
	if len(addresses) > 0 {
		if u, err := url.Parse(addresses[0]); err == nil && u.Path != "" {
			return u.EscapedPath()
		}
	}
	return "/"
}
