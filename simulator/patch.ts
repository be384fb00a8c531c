import { z } from 'zod';
import type { OrgAttributes } from './attributes.ts';
import { isoMs } from './calendar.ts';
import { checked } from './refusal.ts';

const amount = z.int().min(0);

const limits = z
  .strictObject({
    apitoken: amount,
    application: amount,
    applicationcertificate: amount,
    applicationcertificateauthority: amount,
    applicationkey: amount,
    credential: amount,
    dashboard: amount,
    datatable: amount,
    device: amount,
    devicerecipe: amount,
    experiencedomain: amount,
    experienceendpoint: amount,
    experiencegroup: amount,
    experienceslug: amount,
    experienceuser: amount,
    experienceversion: amount,
    experienceview: amount,
    file: amount,
    flow: amount,
    integration: amount,
    notebook: amount,
    privatefile: amount,
    resourcejob: amount,
    webhook: amount,
    dataTTL: z.int().min(86_400),
    member: amount,
    payload: amount,
    storage: amount,
    notebookMinutesPerRun: amount,
    notebookMinutesPerMonth: amount,
    notebookInParallel: amount,
    experienceFlowSlots: amount,
    applicationFlowSlots: amount,
    systemInterval: z.int().min(5).max(3600),
  })
  .partial();

const tag = z.strictObject({
  key: z.string().regex(/^[0-9a-zA-Z_-]{1,255}$/),
  value: z.string().min(1).max(255),
});

/** The body of a Patch, by its published schema. */
const orgPatch = z
  .strictObject({
    name: z.string().min(1).max(255),
    description: z.string().max(32_767),
    iconColor: z.string().max(64),
    limits,
    whitelistedEmailDomains: z.array(z.string().min(3).max(45)),
    auditLogEnabled: z.boolean(),
    disabledAt: z.union([z.iso.datetime({ offset: true }), z.boolean()]),
    isReadOnly: z.boolean(),
    tags: z.array(tag).max(100),
    referralId: z.string().max(1024),
    mfaMode: z.enum(['notRequired', 'adminRequired', 'required']),
    banner: z
      .strictObject({
        message: z.string().max(2048),
        level: z.enum(['info', 'warning', 'critical']),
      })
      .partial(),
  })
  .partial();

/** Returns the attributes after the patch. Throws a refusal if it breaks the schema. */
export function applyPatch(attributes: OrgAttributes, patch: unknown, nowMs: number): OrgAttributes {
  const { name, tags, disabledAt, ...rest } = checked(orgPatch, patch);
  return {
    ...attributes,
    ...rest,
    ...(name === undefined ? {} : { name }),
    ...(tags === undefined ? {} : { tags }),
    ...(disabledAt === undefined ? {} : { disabledAt: disabledTime(disabledAt, nowMs) }),
    lastUpdated: isoMs(nowMs),
  };
}

/** Returns the time from which the organization is disabled; `true` means from now on. */
function disabledTime(disabledAt: string | boolean, nowMs: number): string | false {
  if (typeof disabledAt === 'string') return isoMs(Date.parse(disabledAt));
  return disabledAt ? isoMs(nowMs) : false;
}
