import { expect, test } from 'vitest';
import { ENOUGH, type Env, secretsFolder } from './settings.ts';

/** [what is wrong, the variables beside enough right ones, the lines of the message] */
const WRONG: readonly (readonly [string, Env, readonly string[]])[] = [
  [
    'no instance id',
    { LOSANT_INSTANCE_ID: undefined },
    ['LOSANT_INSTANCE_ID is not set; copy the 24 hex characters of the instance from its address in Losant'],
  ],
  [
    'an empty instance id',
    { LOSANT_INSTANCE_ID: '' },
    ['LOSANT_INSTANCE_ID is empty; copy the 24 hex characters of the instance from its address in Losant'],
  ],
  [
    'an instance id that is too short',
    { LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a9' },
    [
      'LOSANT_INSTANCE_ID="575ec8687ae143cd83dc4a9" is not an instance id; copy the 24 hex characters of the instance from its address in Losant',
    ],
  ],
  [
    'an instance id with a letter that is no hex',
    { LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a9g' },
    [
      'LOSANT_INSTANCE_ID="575ec8687ae143cd83dc4a9g" is not an instance id; copy the 24 hex characters of the instance from its address in Losant',
    ],
  ],
  [
    'no token',
    { LOSANT_API_TOKEN: undefined },
    [
      'LOSANT_API_TOKEN is not set; create an instance API token in Losant; or name its file in LOSANT_API_TOKEN_FILE',
    ],
  ],
  [
    'an empty token',
    { LOSANT_API_TOKEN: '' },
    [
      'LOSANT_API_TOKEN is empty; create an instance API token in Losant; or name its file in LOSANT_API_TOKEN_FILE',
    ],
  ],
  [
    'a token with a space',
    { LOSANT_API_TOKEN: 'Bearer CANARY' },
    [
      'LOSANT_API_TOKEN contains whitespace, control or non-ASCII characters; give the token alone, without quotes, spaces or line breaks',
    ],
  ],
  [
    'a token in quotes',
    { LOSANT_API_TOKEN: '"CANARY"' },
    [
      'LOSANT_API_TOKEN is in quotes, which would be sent along; give the token alone, without quotes, spaces or line breaks',
    ],
  ],
  [
    'a token with a line break inside',
    { LOSANT_API_TOKEN: 'CANARY\nCANARY' },
    [
      'LOSANT_API_TOKEN contains whitespace, control or non-ASCII characters; give the token alone, without quotes, spaces or line breaks',
    ],
  ],
  [
    'a token with a letter beyond ASCII',
    { LOSANT_API_TOKEN: 'CANARÝ' },
    [
      'LOSANT_API_TOKEN contains whitespace, control or non-ASCII characters; give the token alone, without quotes, spaces or line breaks',
    ],
  ],
  [
    'a token twice',
    { LOSANT_API_TOKEN_FILE: 'DIR/token' },
    ['LOSANT_API_TOKEN and LOSANT_API_TOKEN_FILE are both set; keep one of them'],
  ],
  [
    'a token file that does not exist',
    { LOSANT_API_TOKEN: undefined, LOSANT_API_TOKEN_FILE: 'DIR/missing' },
    [
      'LOSANT_API_TOKEN_FILE="DIR/missing" names a file that cannot be read: it does not exist; correct the path, or let this user read a file there',
    ],
  ],
  [
    'an empty token file',
    { LOSANT_API_TOKEN: undefined, LOSANT_API_TOKEN_FILE: 'DIR/empty' },
    ['LOSANT_API_TOKEN_FILE="DIR/empty" names an empty file; write the secret into it'],
  ],
  [
    'a token file that is a folder',
    { LOSANT_API_TOKEN: undefined, LOSANT_API_TOKEN_FILE: 'DIR/folder' },
    [
      'LOSANT_API_TOKEN_FILE="DIR/folder" names a file that cannot be read: not a regular file; correct the path, or let this user read a file there',
    ],
  ],
  [
    'a token file with two words',
    { LOSANT_API_TOKEN: undefined, LOSANT_API_TOKEN_FILE: 'DIR/spaced' },
    [
      'LOSANT_API_TOKEN_FILE contains whitespace, control or non-ASCII characters; give the token alone, without quotes, spaces or line breaks',
    ],
  ],
  [
    'a token where its file is asked for',
    { LOSANT_API_TOKEN: undefined, LOSANT_API_TOKEN_FILE: 'eyJ.CANARY' },
    [
      'LOSANT_API_TOKEN_FILE names a file that cannot be read: it does not exist; correct the path, or let this user read a file there',
    ],
  ],
  [
    'an empty name of a token file',
    { LOSANT_API_TOKEN: undefined, LOSANT_API_TOKEN_FILE: '' },
    ['LOSANT_API_TOKEN_FILE is empty; give the path of a file, or remove the setting'],
  ],
  [
    'an API URL that is none',
    { LOSANT_API_URL: 'api.losant.com' },
    ['LOSANT_API_URL="api.losant.com" is not a URL; use e.g. https://api.losant.com'],
  ],
  [
    'an API URL of another kind',
    { LOSANT_API_URL: 'ftp://api.losant.com' },
    ['LOSANT_API_URL="ftp://api.losant.com" is neither https nor http; use e.g. https://api.losant.com'],
  ],
  [
    'plain http to another machine',
    { LOSANT_API_URL: 'http://losant.example.com' },
    [
      'LOSANT_API_URL="http://losant.example.com" would send the token unencrypted; use https; plain http is only for this machine',
    ],
  ],
  [
    'plain http to a name that only begins like this machine',
    { LOSANT_API_URL: 'http://127.0.0.1.example.com' },
    [
      'LOSANT_API_URL="http://127.0.0.1.example.com" would send the token unencrypted; use https; plain http is only for this machine',
    ],
  ],
  [
    'a password in the API URL',
    { LOSANT_API_URL: 'https://user:CANARY@losant.example.com' },
    [
      'LOSANT_API_URL="https://…@losant.example.com" has a user name or password in it; remove them: the token is enough',
    ],
  ],
  [
    'a query in the API URL',
    { LOSANT_API_URL: 'https://losant.example.com?token=CANARY' },
    ['LOSANT_API_URL="https://losant.example.com?…" has a query or fragment; end the URL before the ? or #'],
  ],
  [
    'a fragment in the API URL',
    { LOSANT_API_URL: 'https://losant.example.com/#CANARY' },
    ['LOSANT_API_URL="https://losant.example.com/?…" has a query or fragment; end the URL before the ? or #'],
  ],
  [
    'a domain written as a URL',
    { LOSANT_DOMAIN: 'https://usage.example.com' },
    [
      'LOSANT_DOMAIN="https://usage.example.com" is not a host name; use the bare name, e.g. usage.example.com',
    ],
  ],
  [
    'no organizations',
    { LOSANT_ORG_IDS: '' },
    ['LOSANT_ORG_IDS is empty; use all, or list the 24 hex characters of each organization'],
  ],
  [
    'all organizations and one more',
    { LOSANT_ORG_IDS: 'all,575ed18f7ae143cd83dc4aa6' },
    ['LOSANT_ORG_IDS mixes all with ids; use either all or ids'],
  ],
  [
    'an organization by name',
    { LOSANT_ORG_IDS: '575ed18f7ae143cd83dc4aa6,Acme' },
    [
      'LOSANT_ORG_IDS="Acme" is not an organization id; use all, or list the 24 hex characters of each organization',
    ],
  ],
  [
    'an organization twice',
    { LOSANT_ORG_IDS: '575ed18f7ae143cd83dc4aa6,575ED18F7AE143CD83DC4AA6' },
    ['LOSANT_ORG_IDS="575ed18f7ae143cd83dc4aa6" is listed twice; list each once'],
  ],
  [
    'an empty entry between organizations',
    { LOSANT_ORG_IDS: '575ed18f7ae143cd83dc4aa6,,575ed18f7ae143cd83dc4aa6' },
    [
      'LOSANT_ORG_IDS[1] is empty; use all, or list the 24 hex characters of each organization',
      'LOSANT_ORG_IDS="575ed18f7ae143cd83dc4aa6" is listed twice; list each once',
    ],
  ],
  [
    'a database URL of another kind',
    { DATABASE_URL: 'mysql://root:CANARY@db/usage' },
    [
      'DATABASE_URL is not a database URL (not shown); set it to postgres://USER:PASSWORD@HOST:5432/NAME, or to embedded:DIR for trying out without a server; in user and password, percent-encode @ : / ? # and spaces',
    ],
  ],
  [
    'an embedded database without a folder',
    { DATABASE_URL: 'embedded:' },
    [
      'DATABASE_URL is not a database URL (not shown); set it to postgres://USER:PASSWORD@HOST:5432/NAME, or to embedded:DIR for trying out without a server; in user and password, percent-encode @ : / ? # and spaces',
    ],
  ],
  [
    'a database URL twice',
    { DATABASE_URL: 'postgres://u:CANARY@db/usage', DATABASE_URL_FILE: 'DIR/token' },
    ['DATABASE_URL and DATABASE_URL_FILE are both set; keep one of them'],
  ],
  [
    'a database URL file with something else in it',
    { DATABASE_URL_FILE: 'DIR/token' },
    [
      'DATABASE_URL_FILE is not a database URL (not shown); set it to postgres://USER:PASSWORD@HOST:5432/NAME, or to embedded:DIR for trying out without a server; in user and password, percent-encode @ : / ? # and spaces',
    ],
  ],
  [
    'a database URL where its file is asked for',
    { DATABASE_URL_FILE: 'postgres://u:CANARY@db/usage' },
    [
      'DATABASE_URL_FILE names a file that cannot be read: it does not exist; correct the path, or let this user read a file there',
    ],
  ],
];

const settings = secretsFolder();

test.each(WRONG)('%s is refused', (_, env, lines) => {
  expect(settings.refusal({ ...ENOUGH, ...env })).toEqual(lines);
});
