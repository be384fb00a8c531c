export interface TokenGrant {
  readonly scopes: readonly string[];
  readonly revoked: boolean;
  /** The instant of expiry in ms; null for a token that never expires. */
  readonly expiresAt: number | null;
}

export type Access = 'granted' | 'unauthorized' | 'forbidden';

/** The broad scopes of the official contract; those with `.read` allow only reads. */
const BROAD_SCOPES = ['all.Instance', 'all.Instance.bounded', 'all.User', 'all.User.bounded'];
const BROAD_READ_SCOPES = ['all.Instance.read', 'all.User.read'];

/** Returns the access that the Authorization header gives to the action, e.g. `instanceOrg.deviceCounts`. */
export function accessFor(
  tokens: ReadonlyMap<string, TokenGrant>,
  authorization: string | undefined,
  { scope, reads, nowMs }: { scope: string; reads: boolean; nowMs: number },
): Access {
  const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1];
  const grant = token === undefined ? undefined : tokens.get(token);
  if (grant === undefined || grant.revoked) return 'unauthorized';
  if (grant.expiresAt !== null && grant.expiresAt <= nowMs) return 'unauthorized';
  const resource = scope.slice(0, scope.indexOf('.'));
  const opening = [scope, `${resource}.*`, ...BROAD_SCOPES, ...(reads ? BROAD_READ_SCOPES : [])];
  return grant.scopes.some((held) => opening.includes(held)) ? 'granted' : 'forbidden';
}
