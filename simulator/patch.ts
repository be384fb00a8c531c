import { z } from 'zod';
import type { OrgAttributes } from './attributes.ts';
import { isoMs } from './calendar.ts';
import { checkValue } from './rejection.ts';

const COUNT_LIMITS =
  'apitoken application applicationcertificate applicationcertificateauthority applicationkey credential dashboard ' +
  'datatable device devicerecipe experiencedomain experienceendpoint experiencegroup experienceslug experienceuser ' +
  'experienceversion experienceview file flow integration notebook privatefile resourcejob webhook member payload ' +
  'storage notebookMinutesPerRun notebookMinutesPerMonth notebookInParallel experienceFlowSlots applicationFlowSlots';
const counts = COUNT_LIMITS.split(' ').map((name) => [name, z.int().min(0)] as const);
const intervals = { dataTTL: z.int().min(86_400), systemInterval: z.int().min(5).max(3600) };
const limits = z.strictObject({ ...Object.fromEntries(counts), ...intervals }).partial();

const tag = z.strictObject({ key: z.string().regex(/^[0-9a-zA-Z_-]{1,255}$/), value: z.string().min(1).max(255) });
const instant = z.iso.datetime({ offset: true }).transform((text) => isoMs(Date.parse(text)));
const banner = z.strictObject({
  message: z.string().max(2048).optional(),
  level: z.enum(['info', 'warning', 'critical']).optional(),
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
    disabledAt: z.union([instant, z.boolean()]),
    isReadOnly: z.boolean(),
    tags: z.array(tag).max(100),
    referralId: z.string().max(1024),
    mfaMode: z.enum(['notRequired', 'adminRequired', 'required']),
    banner,
  })
  .partial();

/** Returns the attributes after the patch. Throws a rejection if the patch does not match the schema. */
export function applyPatch(attributes: OrgAttributes, patch: unknown, nowMs: number): OrgAttributes {
  const { disabledAt: newValue = attributes['disabledAt'], ...rest } = checkValue(orgPatch, patch);
  const nowText = isoMs(nowMs);
  const disabledAt = newValue === true ? nowText : newValue;
  return Object.assign({ ...attributes, lastUpdated: nowText }, rest, { disabledAt });
}
