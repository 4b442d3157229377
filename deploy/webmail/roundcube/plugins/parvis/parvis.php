<?php

/**
 * Ties Roundcube to the front door it stands behind.
 *
 * Roundcube keeps a session of its own, which knows nothing of the agent's
 * session at the portal. This plugin makes one follow the other: each request
 * carries Parvis-Assertion, signed by the gateway, and a mailbox is shown to the
 * person it names and to nobody else. Whoever signs in next on the same browser
 * gets their own mailbox; a sign-in that somebody else began is refused; signing
 * out of the webmail leads to signing out of the portal.
 *
 * Without an assertion there is no webmail.
 */
class parvis extends rcube_plugin
{
    public $task = '.*';

    private $rc;
    private $who;

    public function init()
    {
        $this->rc = rcmail::get_instance();
        $this->add_hook('startup', [$this, 'startup']);
        $this->add_hook('authenticate', [$this, 'no_password']);
        $this->add_hook('oauth_login', [$this, 'oauth_login']);
        $this->add_hook('user_create', [$this, 'user_create']);
        $this->add_hook('login_after', [$this, 'login_after']);
        $this->add_hook('unauthenticated', [$this, 'unauthenticated']);
        $this->add_hook('logout_after', [$this, 'logout_after']);
    }

    /** Every request: the person at the door is the person of the session. */
    public function startup($args)
    {
        try {
            $this->who = $this->assertion($_SERVER['HTTP_PARVIS_ASSERTION'] ?? '');
        } catch (Exception $e) {
            rcube::raise_error(['message' => 'parvis: ' . $e->getMessage(), 'file' => __FILE__, 'line' => __LINE__], true, false);
            $this->stop(403, 'stranger');
        }
        if (isset($_SESSION['user_id']) && !hash_equals($_SESSION['parvis_sub'] ?? '', $this->who['sub'])) {
            $this->rc->kill_session();
        }
        if (!isset($_SESSION['user_id']) && empty($this->who['email'])) {
            $this->stop(403, 'nomailbox');
        }
        return $args;
    }

    /** There is no password here: the form that asks for one opens nothing. */
    public function no_password($args)
    {
        $args['abort'] = true;
        $args['valid'] = false;
        return $args;
    }

    /** A code that somebody else was given opens nothing (RFC 6819, 4.4.1.8). */
    public function oauth_login($args)
    {
        $sub = is_array($args['identity']) ? ($args['identity']['sub'] ?? '') : '';
        if (!is_string($sub) || $sub === '' || !hash_equals($this->who['sub'], $sub)) {
            rcube::raise_error(['message' => 'parvis: the token is about somebody else', 'file' => __FILE__, 'line' => __LINE__], true, false);
            $this->stop(403, 'failed');
        }
        return $args;
    }

    /** Somebody's first time: what they write is signed with their name. */
    public function user_create($args)
    {
        $args['user_name'] = $this->who['name'] ?? '';
        $args['user_email'] = $this->who['email'];
        return $args;
    }

    public function login_after($args)
    {
        $_SESSION['parvis_sub'] = $this->who['sub'];
        return $args;
    }

    /**
     * Whoever has no session here has one at the portal: they are sent there and
     * come back at once. Nobody sees a form that asks for a password; whoever came
     * back with nothing is told so, and not sent again by itself.
     */
    public function unauthenticated($args)
    {
        if ($this->rc->output->ajax_call || $this->rc->output->get_env('framed')) {
            return $args;
        }
        if ($this->rc->action === 'oauth') {
            $this->stop(403, 'failed');
        }
        $this->rc->oauth->login_redirect(); // does not return
        return $args;
    }

    /** Out of the webmail is out of the portal: it asks, and ends both. */
    public function logout_after($args)
    {
        header('Location: ' . $this->rc->config->get('parvis_portal') . '/signout');
        exit;
    }

    private function stop($status, $what)
    {
        $this->add_texts('localization/');
        http_response_code($status);
        header('Content-Type: text/html; charset=utf-8');
        header("Content-Security-Policy: default-src 'none'");
        $say = fn ($label) => rcube::Q($this->gettext($label));
        echo '<!doctype html><html lang="' . substr($_SESSION['language'] ?? 'fr', 0, 2) . '"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>'
            . $say($what . '_title') . '</title></head><body><main><h1>' . $say($what . '_title') . '</h1><p>' . $say($what . '_why') . '</p><p><a href="'
            . rcube::Q($this->rc->config->get('parvis_portal')) . '/">' . $say('portal') . '</a></p></main></body></html>';
        exit;
    }

    /** Checks an assertion: signed by the gateway, for this application, now. */
    private function assertion($jwt)
    {
        $parts = explode('.', $jwt);
        if (count($parts) !== 3) {
            throw new RuntimeException('no assertion: this webmail opens through the gateway');
        }
        $head = json_decode(self::bytes($parts[0]), true);
        $body = json_decode(self::bytes($parts[1]), true);
        // One algorithm, chosen here (RFC 8725, 3.1).
        if (!is_array($head) || !is_array($body) || ($head['alg'] ?? '') !== 'ES256' || !is_string($head['kid'] ?? null)) {
            throw new RuntimeException('an assertion that cannot be read');
        }
        $signature = self::der(self::bytes($parts[2]));
        if (openssl_verify($parts[0] . '.' . $parts[1], $signature, $this->key($head['kid']), OPENSSL_ALGO_SHA256) !== 1) {
            throw new RuntimeException('the signature of the assertion is not of the gateway');
        }
        if (!in_array($this->rc->config->get('oauth_client_id'), (array) ($body['aud'] ?? null), true) || !is_string($body['sub'] ?? null) || $body['sub'] === '') {
            throw new RuntimeException('an assertion for another application');
        }
        if ($this->rc->config->get('parvis_clock') && ($body['exp'] ?? 0) + 30 < time()) {
            throw new RuntimeException('an assertion that has expired');
        }
        return $body;
    }

    /** The key of that name, as PEM. Keys are asked for again when one is new. */
    private function key($kid)
    {
        $file = $this->rc->config->get('temp_dir') . '/parvis-keys.json';
        $old = is_readable($file) ? filemtime($file) : 0;
        foreach ([false, true] as $ask) {
            if ($ask) {
                if (time() - $old < 5) {
                    break; // one unknown name after another is somebody who plays
                }
                $curl = curl_init($this->rc->config->get('parvis_keys'));
                curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 5, CURLOPT_FAILONERROR => true]);
                $text = curl_exec($curl);
                if (!is_string($text) || !is_array(json_decode($text, true)['keys'] ?? null)) {
                    throw new RuntimeException('the keys of the gateway cannot be read: ' . curl_error($curl));
                }
                $new = tempnam(dirname($file), 'parvis-keys');
                file_put_contents($new, $text);
                rename($new, $file);
            } elseif (time() - $old > 300) {
                continue;
            }
            foreach (json_decode(file_get_contents($file), true)['keys'] as $k) {
                if (($k['kid'] ?? '') === $kid && ($k['kty'] ?? '') === 'EC' && ($k['crv'] ?? '') === 'P-256') {
                    return self::pem(self::bytes($k['x']), self::bytes($k['y']));
                }
            }
        }
        throw new RuntimeException('the gateway has no key of that name');
    }

    private static function bytes($s)
    {
        $b = base64_decode(strtr($s, '-_', '+/'), true);
        if ($b === false) {
            throw new RuntimeException('what should be base64url is not');
        }
        return $b;
    }

    /** SubjectPublicKeyInfo of a point of P-256 (RFC 5480, 2). */
    private static function pem($x, $y)
    {
        if (strlen($x) !== 32 || strlen($y) !== 32) {
            throw new RuntimeException('a key that is no point of P-256');
        }
        $der = hex2bin('3059301306072a8648ce3d020106082a8648ce3d03010703420004') . $x . $y;
        return "-----BEGIN PUBLIC KEY-----\n" . chunk_split(base64_encode($der), 64, "\n") . "-----END PUBLIC KEY-----\n";
    }

    /** The signature of a JWS (RFC 7518, 3.4), as OpenSSL wants it. */
    private static function der($raw)
    {
        if (strlen($raw) !== 64) {
            throw new RuntimeException('a signature of the wrong length');
        }
        $out = '';
        foreach (str_split($raw, 32) as $n) {
            $n = ltrim($n, "\0");
            if ($n === '' || ord($n[0]) > 127) {
                $n = "\0" . $n;
            }
            $out .= "\x02" . chr(strlen($n)) . $n;
        }
        return "\x30" . chr(strlen($out)) . $out;
    }
}
