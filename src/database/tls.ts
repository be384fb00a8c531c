/** Encryption of the connection: what `sslmode` asks for, and what its failures mean. */

/**
 * The URL with `prefer`, `require` and `verify-ca` written as `verify-full`, which
 * is how the driver takes them: with eight lines of warning for the other names.
 */
export function spellSslMode(url: string): string {
  const query = url.indexOf('?');
  // Whoever asks for libpq's weaker meaning gets it.
  if (query === -1 || /[?&]uselibpqcompat=/.test(url)) return url;
  const parameters = url
    .slice(query)
    .replaceAll(/([?&]sslmode=)(prefer|require|verify-ca)(?=&|$)/g, '$1verify-full');
  return `${url.slice(0, query)}${parameters}`;
}

export interface TlsTrouble {
  readonly problem: string;
  readonly hint: string;
  /** Whether only other settings help; a certificate that has expired is the server's matter. */
  readonly isSettings: boolean;
}

const NO_TLS_MESSAGE = 'The server does not support SSL connections';

const UNKNOWN_ISSUER =
  'name the file of the authority that signed it: DATABASE_URL=…?sslmode=verify-full&sslrootcert=/path/ca.pem';

/** Codes of OpenSSL's certificate checks, as Node gives them. */
const CERTIFICATE: Readonly<Record<string, TlsTrouble>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted('its certificate is self-signed'),
  SELF_SIGNED_CERT_IN_CHAIN: untrusted('its certificate was signed by an authority that is not known here'),
  UNABLE_TO_GET_ISSUER_CERT: untrusted('its certificate was signed by an authority that is not known here'),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted(
    'its certificate was signed by an authority that is not known here',
  ),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted(
    'its certificate was signed by an authority that is not known here',
  ),
  CERT_SIGNATURE_FAILURE: untrusted('its certificate was not signed by the authority given'),
  ERR_TLS_CERT_ALTNAME_INVALID: {
    problem: 'its certificate is for another host name',
    hint: 'use the host name that the certificate names in DATABASE_URL',
    isSettings: true,
  },
  CERT_HAS_EXPIRED: ofServer('its certificate has expired'),
  CERT_NOT_YET_VALID: ofServer('its certificate is not valid yet'),
};

function untrusted(problem: string): TlsTrouble {
  return { problem, hint: UNKNOWN_ISSUER, isSettings: true };
}

function ofServer(problem: string): TlsTrouble {
  return { problem, hint: "renew the server's certificate, and compare the clocks", isSettings: false };
}

/** What is wrong with the encryption of the connection; null if the error is about something else. */
export function describeTlsTrouble(error: unknown): TlsTrouble | null {
  if (!(error instanceof Error)) return null;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const known = CERTIFICATE[code];
  if (known) return known;
  // Raised by the driver without a code.
  if (error.message === NO_TLS_MESSAGE) {
    return {
      problem: 'it offers no TLS, which sslmode asks for',
      hint: 'switch TLS on at the server, or leave sslmode out of DATABASE_URL if nobody can listen in between',
      isSettings: true,
    };
  }
  if (/^ERR_(SSL|TLS|OSSL)_/.test(code)) {
    return {
      problem: `TLS could not be agreed on (${code})`,
      hint: 'check that the server speaks TLS there, and the files of sslrootcert, sslcert and sslkey in DATABASE_URL',
      isSettings: true,
    };
  }
  return null;
}
