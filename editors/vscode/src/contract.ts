/**
 * What `remora … --output json` answers, as far as the extension reads it. Owns the fields and checks them when a
 * document comes in, so that another version of the command line is a clear message and not an `undefined`.
 */

type Shape = 'string' | 'string?' | 'number' | 'number?' | 'boolean' | 'boolean?' | readonly [Shape] | { readonly [key: string]: Shape };

export type Read<S> = S extends 'string' ? string
  : S extends 'string?' ? string | null
  : S extends 'number' ? number
  : S extends 'number?' ? number | null
  : S extends 'boolean' ? boolean
  : S extends 'boolean?' ? boolean | null
  : S extends readonly [infer Item] ? Read<Item>[]
  : S extends object ? { [Key in keyof S]: Read<S[Key]> }
  : never;

/** The documents by the middle of their `schema`: `remora.NAME/v1`. A `?` after a type allows null. */
export const SHAPES = {
  progress: { event: 'string', text: 'string' },
  question: { kind: 'string', text: 'string', default: 'string?', choices: [{ value: 'string', label: 'string' }] },
  error: {
    error: { code: 'string', message: 'string', hint: 'string' },
    exit_code: 'number',
  },
  plan: {
    subscription_id: 'string',
    resource_group: 'string',
    location: 'string',
    new_resource_group: 'boolean',
    provision: 'boolean',
    providers_to_register: ['string'],
    resources: [{ change: 'string', kind: 'string', name: 'string' }],
  },
  provision: { changed: 'boolean', resource_group: 'string', app: 'string', portal_url: 'string?' },
  deploy: { name: 'string', chat_page: 'string', revision: 'string' },
  open: { url: 'string' },
  status: {
    cloud: 'string',
    resource_group: 'string',
    app: 'string',
    endpoint: 'string',
    answers: 'boolean?',
    problem: 'string?',
    models: [{ id: 'string' }],
  },
  compare: { verdicts: [{ text: 'string' }], files: ['string'] },
  secrets: { api_key: 'string' },
  'secrets.set': { app: 'string', variable: 'string' },
  rollback: { release: 'string', revision: 'string' },
  'adapters.list': { adapters: [{ name: 'string', digest: 'string', state: 'string', size_bytes: 'number' }] },
  'adapters.change': { name: 'string', from: 'string?', to: 'string?' },
  log: { text: 'string' },
  down: { app: 'string', resource_group: 'string' },
  'chat.models': { models: ['string'], model: 'string' },
  'chat.piece': { text: 'string' },
  chat: { model: 'string', adapter_digest: 'string?', answer: 'string', finish_reason: 'string?', tokens_per_second: 'number?' },
} as const satisfies Record<string, Shape>;

export type Name = keyof typeof SHAPES;
export type Document<N extends Name> = Read<(typeof SHAPES)[N]>;
export type Json = Readonly<Record<string, unknown>>;

/** The command line answered with something that this version of the extension does not know. */
export class ContractError extends Error {}

/** The middle of a document's `schema`, as in `remora.NAME/v1`; undefined for anything else. */
export function nameOf(document: Json): string | undefined {
  return /^remora\.([a-z.]+)\/v1$/.exec(String(document.schema))?.[1];
}

/** The document, if it is a NAME with every field that we read. Throws ContractError naming the first that is not. */
export function read<N extends Name>(name: N, document: Json): Document<N> {
  if (nameOf(document) !== name) {
    throw new ContractError(`expected remora.${name}/v1, got ${JSON.stringify(document.schema ?? document)}`);
  }
  check(SHAPES[name], document, name);
  return document as Document<N>;
}

/** The next command that an error names, as arguments: `["remora", "provision"]`. */
export function nextOf(document: Json): string[] | undefined {
  const next = document.next;
  return Array.isArray(next) && next.every((word) => typeof word === 'string') ? next : undefined;
}

function check(shape: Shape, value: unknown, path: string): void {
  if (typeof shape === 'string') {
    const optional = shape.endsWith('?');
    const wanted = optional ? shape.slice(0, -1) : shape;
    if (typeof value !== wanted && !(optional && value === null)) {
      throw new ContractError(`${path} is ${JSON.stringify(value)}, expected ${wanted}`);
    }
  } else if (isList(shape)) {
    if (!Array.isArray(value)) throw new ContractError(`${path} is ${JSON.stringify(value)}, expected a list`);
    value.forEach((item, index) => { check(shape[0], item, `${path}[${index}]`); });
  } else {
    if (typeof value !== 'object' || value === null) throw new ContractError(`${path} is ${JSON.stringify(value)}, expected an object`);
    for (const [key, inner] of Object.entries(shape)) check(inner, (value as Json)[key], `${path}.${key}`);
  }
}

function isList(shape: Shape): shape is readonly [Shape] {
  return Array.isArray(shape);
}
