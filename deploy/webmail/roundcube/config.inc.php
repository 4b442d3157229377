<?php

// Roundcube behind Parvis: signed in by OpenID Connect, and at the address of
// whichever entrance the agent came through. What differs between installations
// is in settings.php beside this file.

$parvis = require __DIR__ . '/settings.php';
$config = [];

// The gateway passes on the address of the entrance. It is looked up, never
// believed: the secret of this client goes to no portal but those.
$parvis_host = $_SERVER['HTTP_HOST'] ?? '';
if (PHP_SAPI !== 'cli') {
    if (empty($parvis['entrances'][$parvis_host])) {
        http_response_code(421);
        header('Content-Type: text/plain; charset=utf-8');
        exit("This address is not one of an entrance.\n");
    }
    $parvis_entrance = $parvis['entrances'][$parvis_host];
    if (str_starts_with($parvis_entrance['address'], 'https:')) {
        $_SERVER['HTTPS'] = 'on';
        $config['use_https'] = true;
    }
    $config['parvis_portal'] = $parvis_entrance['portal'];
    $config['oauth_auth_uri'] = $parvis_entrance['portal'] . '/authorize';
    $config['oauth_token_uri'] = $parvis_entrance['portal'] . '/token';
    $config['oauth_identity_uri'] = $parvis_entrance['portal'] . '/userinfo';
}
$config['parvis_keys'] = $parvis['keys'];
$config['parvis_clock'] = $parvis['clock'];

$config['oauth_provider'] = 'parvis';
$config['oauth_provider_name'] = 'Parvis';
$config['oauth_client_id'] = $parvis['client'];
$config['oauth_client_secret'] = $parvis['secret'];
$config['oauth_scope'] = 'openid email';
$config['oauth_identity_fields'] = ['email'];
$config['oauth_login_redirect'] = true;
$config['oauth_verify_peer'] = true;

$config['plugins'] = ['parvis'];
$config['skin'] = 'elastic';
$config['product_name'] = $parvis['name'];
$config['support_url'] = '';
$config['language'] = null; // as the browser asks
$config['des_key'] = $parvis['key'];
$config['cipher_method'] = 'AES-256-CBC';

$config['db_dsnw'] = 'sqlite:///' . $parvis['dir'] . '/roundcube/roundcube.db?mode=0600';
$config['log_dir'] = $parvis['dir'] . '/log';
$config['temp_dir'] = $parvis['dir'] . '/roundcube/temp';
$config['session_samesite'] = 'Lax';
$config['session_lifetime'] = 10;
$config['enable_installer'] = false;
$config['enable_spellcheck'] = false;

$config['imap_host'] = $parvis['imap'];
$config['smtp_host'] = $parvis['submission'];
$config['smtp_user'] = '%u';
$config['smtp_pass'] = '%p';

// The address of an agent is the one that Parvis says, and nobody else's.
$config['identities_level'] = 3;
$config['drafts_mbox'] = 'Drafts';
$config['sent_mbox'] = 'Sent';
$config['junk_mbox'] = 'Junk';
$config['trash_mbox'] = 'Trash';
$config['max_message_size'] = '10M';
