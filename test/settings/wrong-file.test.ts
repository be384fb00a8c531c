import { expect, test } from 'vitest';
import { type Env, ONE, secretsFolder, UNNAMED } from './settings.ts';

/** [what is wrong, the settings file, the variables beside it, the lines of the message] */
const WRONG: readonly (readonly [string, string, Env, readonly string[]])[] = [
  ['an empty file', '', {}, ['DIR/usage.yaml is not a map; compare with deploy/losant-usage.example.yaml']],
  [
    'a list',
    '- id: 575ec8687ae143cd83dc4a97',
    {},
    ['DIR/usage.yaml is not a map; compare with deploy/losant-usage.example.yaml'],
  ],
  ['no instances', 'instances: []', {}, ['DIR/usage.yaml: instances is empty; list at least one']],
  [
    'instances that are a text',
    'instances: all',
    {},
    ['DIR/usage.yaml: instances is not a list; compare with deploy/losant-usage.example.yaml'],
  ],
  [
    'an unknown key at the top',
    `${ONE}scedule: 15 * * * *`,
    {},
    ['DIR/usage.yaml has an unknown key: scedule; did you mean schedule?'],
  ],
  [
    'an unknown key of an instance',
    `${ONE}    tokenfile: token`,
    {},
    ['DIR/usage.yaml: instances[0] has an unknown key: tokenfile; did you mean tokenFile?'],
  ],
  [
    'a setting that stays in the environment',
    `${ONE}databaseUrl: postgres://u:CANARY@db/usage`,
    {},
    ['DIR/usage.yaml has an unknown key: databaseUrl; remove it'],
  ],
  [
    'a token in the file',
    `${UNNAMED}    token: CANARY`,
    {},
    [
      'DIR/usage.yaml: instances[0].token is a secret and may not be in this file; name its file in tokenFile, or a variable in tokenVariable',
    ],
  ],
  [
    'no token',
    'instances:\n  - id: 575ec8687ae143cd83dc4a97',
    {},
    [
      'DIR/usage.yaml: instances[0].tokenVariable is not set; create an instance API token in Losant; or name its file in DIR/usage.yaml: instances[0].tokenFile',
    ],
  ],
  [
    'two sources of a token',
    `${ONE}    tokenVariable: EU_TOKEN`,
    {},
    ['DIR/usage.yaml: instances[0] has both tokenFile and tokenVariable; keep one of them'],
  ],
  [
    'a token file that does not exist',
    `${UNNAMED}    tokenFile: ./missing`,
    {},
    [
      'DIR/usage.yaml: instances[0].tokenFile="./missing" names a file that cannot be read: it does not exist; correct the path, or let this user read a file there',
    ],
  ],
  [
    'a token as its file',
    `${UNNAMED}    tokenFile: eyJ.CANARY`,
    {},
    [
      'DIR/usage.yaml: instances[0].tokenFile names a file that cannot be read: it does not exist; correct the path, or let this user read a file there',
    ],
  ],
  [
    'an empty name of a token file',
    `${UNNAMED}    tokenFile:`,
    {},
    ['DIR/usage.yaml: instances[0].tokenFile is empty; give the path of a file, or remove the setting'],
  ],
  [
    'a variable that is not set',
    `${UNNAMED}    tokenVariable: EU_TOKEN`,
    {},
    [
      'DIR/usage.yaml: instances[0].tokenVariable (EU_TOKEN) is not set; create an instance API token in Losant; or name its file in DIR/usage.yaml: instances[0].tokenFile',
    ],
  ],
  [
    'a token as its variable',
    `${UNNAMED}    tokenVariable: eyJ.CANARY`,
    {},
    [
      'DIR/usage.yaml: instances[0].tokenVariable is not the name of a variable for tokens; use e.g. LOSANT_API_TOKEN_EU',
    ],
  ],
  [
    'the database URL as the token',
    `${UNNAMED}    tokenVariable: DATABASE_URL`,
    {},
    [
      'DIR/usage.yaml: instances[0].tokenVariable is not the name of a variable for tokens; use e.g. LOSANT_API_TOKEN_EU',
    ],
  ],
  [
    'a variable with two words',
    `${UNNAMED}    tokenVariable: EU_TOKEN`,
    { EU_TOKEN: 'CANARY CANARY' },
    [
      'EU_TOKEN contains whitespace, control or non-ASCII characters; give the token alone, without quotes, spaces or line breaks',
    ],
  ],
  [
    'no id',
    'instances:\n  - tokenFile: token',
    {},
    [
      'DIR/usage.yaml: instances[0].id is not set; copy the 24 hex characters of the instance from its address in Losant',
    ],
  ],
  [
    'a wrong id',
    'instances:\n  - id: acme\n    tokenFile: token',
    {},
    [
      'DIR/usage.yaml: instances[0].id="acme" is not an instance id; copy the 24 hex characters of the instance from its address in Losant',
    ],
  ],
  [
    'an id twice',
    `${ONE}  - id: 575EC8687AE143CD83DC4A97\n    tokenFile: token`,
    {},
    ['DIR/usage.yaml: instances[1].id is also the id of instances[0]; describe each instance once'],
  ],
  [
    'a key twice',
    `${ONE}    tokenFile: token`,
    {},
    ['DIR/usage.yaml, line 4: a key that occurs twice; keep one of them'],
  ],
  [
    'a key that stands one column too far left',
    `${UNNAMED}   tokenFile: token`,
    {},
    [
      'DIR/usage.yaml, line 3: wrong indentation; align it with its neighbours, or close a quote or bracket before it',
    ],
  ],
  [
    'a name that begins with a star',
    `${ONE}    orgs: { names: [* Corp] }`,
    {},
    ['DIR/usage.yaml, line 4: a text that begins with *; put it in quotes'],
  ],
  [
    'a tab as indentation',
    'instances:\n\t- id: 575ec8687ae143cd83dc4a97',
    {},
    ['DIR/usage.yaml, line 2: a tab as indentation; use spaces'],
  ],
  [
    'an open bracket',
    `${ONE}    orgs: [575ed18f7ae143cd83dc4aa6`,
    {},
    ['DIR/usage.yaml, line 4: wrong indentation; align it with its neighbours, or close a bracket before it'],
  ],
  [
    'a second document',
    `${ONE}---\n${ONE}`,
    {},
    ['DIR/usage.yaml, line 4: a second document; remove the ---'],
  ],
  [
    'a tag of YAML',
    `${ONE}    requestsPerSecond: !!int 5`,
    {},
    ['DIR/usage.yaml, line 4: a text that begins with !; put it in quotes'],
  ],
  [
    'an alias to nothing',
    `${ONE}    orgs: *nothing`,
    {},
    [
      'DIR/usage.yaml has an alias (*) that cannot be followed; define each anchor before its alias, or write the value out',
    ],
  ],
];

const settings = secretsFolder();

test.each(WRONG)('%s is refused', (_, yaml, env, lines) => {
  expect(settings.refusal(env, yaml)).toEqual(lines);
});
