import { EXIT } from '../exit.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, styled } from '../terminal/text.ts';
import { showInstant, showNumber } from '../terminal/words.ts';
import { defineCommand } from './command.ts';
import { type FoundOrg, findOrg, placeOptions } from './org.ts';
import { fieldsOf } from './org-changes.ts';

export const orgShow = defineCommand({
  needs: 'api',
  options: placeOptions,
  examples: () => [
    { args: 'org show --org 575ec8687ae143cd83dc4a97', does: 'name, state, period, limits and tags' },
    { args: 'org show --org 575ec8687ae143cd83dc4a97 --json', does: "Losant's whole answer" },
  ],
  async run(context, asked) {
    const { output } = context;
    const found = await findOrg(context, asked);
    if (output.json) output.printJson(found.resource);
    else output.print(...renderOrg(found));
    return EXIT.ok;
  },
});

function renderOrg({ organization, resource, instance, orgId }: FoundOrg): Line[] {
  const fields = fieldsOf(resource);
  const {
    currentPeriodStart: start,
    currentPeriodEnd: end,
    createdAt,
    disabledAt,
    isReadOnly,
  } = organization;
  const disabled = disabledAt === null ? [] : [`disabled since ${showInstant(disabledAt)}`];
  const states = [...disabled, ...(isReadOnly ? ['read-only'] : [])];
  const text = (field: string) => fields.get(field) ?? null;
  const updated = resource['lastUpdated'];
  const facts: readonly (readonly [string, string | null])[] = [
    ['id', orgId],
    ['instance', instance.instanceId],
    ['description', text('description')],
    ['referral id', text('referralId')],
    ['plan', organization.planId],
    ['customer', organization.customerId],
    ['state', states.length === 0 ? 'active' : states.join(', ')],
    ['audit log', showFlag(text('auditLogEnabled'))],
    ['two-factor', text('mfaMode')],
    ['period', start && end ? `${showInstant(start)} until ${showInstant(end)}` : null],
    ['created', createdAt && showInstant(createdAt)],
    ['last changed', typeof updated === 'string' ? showInstant(updated) : null],
  ];
  const limits = Object.entries(organization.limits).map(([name, limit]) => [name, showNumber(limit)]);
  const tags = organization.tags.map(({ key, value }) => [key, value]);
  return [
    styled('bold', organization.name),
    ...renderTable({ rows: facts.flatMap(([what, fact]) => (fact === null ? [] : [[what, fact]])) }),
    ...(limits.length === 0 ? [] : ['Limits:', ...renderTable({ rows: limits, right: [1] })]),
    ...(tags.length === 0 ? [] : ['Tags:', ...renderTable({ rows: tags })]),
  ];
}

function showFlag(flag: string | null): string | null {
  if (flag === null) return null;
  return flag === 'true' ? 'on' : 'off';
}
