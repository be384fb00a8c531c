/** What a panel of a dashboard is made of, in the words of this project, and what Grafana 11 wants to read instead. */

export interface PanelText {
  readonly title: string;
  readonly description: string;
  readonly width: number;
  readonly height: number;
}

export interface SqlPanel extends PanelText {
  readonly type: 'stat' | 'table' | 'days' | 'stack';
  readonly sql: string;
  /** Unit of each column with a number; `share` is a ratio, `missing` a count that is orange above 0. */
  readonly columns: Readonly<Record<string, 'count' | 'bytes' | 'minutes' | 'share' | 'missing'>>;
}

export interface PrometheusPanel extends PanelText {
  readonly type: 'line';
  readonly unit: 'short' | 's' | 'bytes' | 'reqps';
  /** Legend → expression. */
  readonly series: Readonly<Record<string, string>>;
}

export type PanelDescription = SqlPanel | PrometheusPanel;

const DATABASE = { type: 'grafana-postgresql-datasource', uid: '${database}' };
const PROMETHEUS = { type: 'prometheus', uid: '${prometheus}' };

const UNITS = { count: 'locale', bytes: 'decbytes', minutes: 'm', share: 'percentunit', missing: 'locale' };

/** The colours of standings, as the console has them. */
const STANDINGS = {
  final: 'green',
  waived: 'blue',
  stored: 'light-green',
  waiting: 'text',
  unavailable: 'purple',
  in_doubt: 'orange',
  missing: 'red',
};

function byName(name: string, properties: Readonly<Record<string, unknown>>): object {
  return {
    matcher: { id: 'byName', options: name },
    properties: Object.entries(properties).map(([id, value]) => ({ id, value })),
  };
}

const ORANGE_ABOVE_ZERO = {
  mode: 'absolute',
  steps: [
    { color: 'text', value: null },
    { color: 'orange', value: 1 },
  ],
};

/** A number that is not stored, on the right axis of a chart, as bars. */
const AS_BARS = {
  'custom.drawStyle': 'bars',
  'custom.fillOpacity': 40,
  'custom.lineWidth': 0,
  'custom.axisPlacement': 'right',
  'custom.axisSoftMax': 5,
  color: { mode: 'fixed', fixedColor: 'red' },
};

function overridesOf({ type, columns }: SqlPanel): object[] {
  const units = Object.entries(columns).map(([name, unit]) => {
    const isMark = unit === 'missing';
    const mark =
      type === 'days'
        ? AS_BARS
        : { thresholds: ORANGE_ABOVE_ZERO, 'custom.cellOptions': { type: 'color-text' } };
    return byName(name, { unit: UNITS[unit], ...(isMark ? mark : {}) });
  });
  const colors = Object.entries(STANDINGS).map(([name, fixedColor]) =>
    byName(name, { color: { mode: 'fixed', fixedColor } }),
  );
  const standing = Object.entries(STANDINGS).map(([name, color], index) => [name, { color, index }] as const);
  const mapped = byName('standing', {
    mappings: [{ type: 'value', options: Object.fromEntries(standing) }],
    'custom.cellOptions': { type: 'color-text' },
  });
  return [...units, ...(type === 'stack' ? colors : []), ...(type === 'table' ? [mapped] : [])];
}

/** How a chart is drawn: nothing joins the days on both sides of one that is missing. */
function chart(isStacked: boolean): object {
  return {
    drawStyle: isStacked ? 'bars' : 'line',
    lineWidth: isStacked ? 0 : 2,
    fillOpacity: isStacked ? 80 : 0,
    showPoints: isStacked ? 'never' : 'always',
    pointSize: 4,
    spanNulls: false,
    insertNulls: false,
    axisSoftMin: 0,
    stacking: { mode: isStacked ? 'normal' : 'none', group: 'A' },
  };
}

function sqlTarget(sql: string, format: 'table' | 'time_series'): object {
  return { refId: 'A', datasource: DATABASE, editorMode: 'code', format, rawQuery: true, rawSql: sql };
}

const LEGEND = { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] };

function renderSql(panel: SqlPanel): object {
  const isChart = panel.type === 'days' || panel.type === 'stack';
  const options = {
    stat: {
      reduceOptions: { values: false, calcs: ['lastNotNull'], fields: '/.*/' },
      textMode: 'auto',
      colorMode: 'none',
    },
    table: { showHeader: true, cellHeight: 'sm', footer: { show: false, reducer: ['sum'], fields: '' } },
    days: { legend: LEGEND, tooltip: { mode: 'multi', sort: 'none' } },
    stack: { legend: LEGEND, tooltip: { mode: 'multi', sort: 'none' } },
  };
  const custom = isChart
    ? chart(panel.type === 'stack')
    : { align: 'auto', filterable: panel.type === 'table' };
  return {
    type: isChart ? 'timeseries' : panel.type,
    datasource: DATABASE,
    fieldConfig: {
      defaults: { unit: 'locale', ...(panel.type === 'stat' ? { noValue: 'missing' } : { custom }) },
      overrides: overridesOf(panel),
    },
    options: options[panel.type],
    targets: [sqlTarget(panel.sql, isChart ? 'time_series' : 'table')],
  };
}

function renderPrometheus({ unit, series }: PrometheusPanel): object {
  const targets = Object.entries(series).map(([legendFormat, expr], index) => ({
    refId: String.fromCharCode(65 + index),
    datasource: PROMETHEUS,
    editorMode: 'code',
    range: true,
    expr,
    legendFormat,
  }));
  return {
    type: 'timeseries',
    datasource: PROMETHEUS,
    fieldConfig: { defaults: { unit, custom: chart(false) }, overrides: [] },
    options: { legend: LEGEND, tooltip: { mode: 'multi', sort: 'desc' } },
    targets,
  };
}

/** Returns the panels with their places: from left to right, a new line where one does not fit. */
export function renderPanels(panels: readonly PanelDescription[]): object[] {
  let [x, y, line] = [0, 0, 0];
  return panels.map((panel, index) => {
    const { title, description, width: w, height: h } = panel;
    if (x + w > 24) [x, y, line] = [0, y + line, 0];
    const gridPos = { x, y, w, h };
    x += w;
    line = Math.max(line, h);
    const rendered = panel.type === 'line' ? renderPrometheus(panel) : renderSql(panel);
    return { id: index + 1, title, description, gridPos, ...rendered };
  });
}

/** Returns an annotation: a query of `time`, `text` and `tags`. */
export function renderMark(name: string, iconColor: string, sql: string): object {
  return {
    name,
    enable: true,
    iconColor,
    datasource: DATABASE,
    target: { ...sqlTarget(sql, 'table'), refId: 'Anno' },
  };
}

interface VariableText {
  readonly name: string;
  readonly label: string;
  readonly description: string;
}

/** Returns a variable whose values a query lists, as `__value` and `__text`. */
export function renderQueryVariable(
  text: VariableText,
  sql: string,
  { isMulti }: { isMulti: boolean },
): object {
  return {
    ...text,
    type: 'query',
    datasource: DATABASE,
    query: sql,
    definition: sql,
    current: isMulti ? { text: ['All'], value: ['$__all'] } : {},
    includeAll: isMulti,
    multi: isMulti,
    refresh: 1,
    sort: 0,
  };
}

/** Returns a variable with the values that are given, label → value. */
export function renderChoice(text: VariableText, choices: Readonly<Record<string, string>>): object {
  const [[first, value] = []] = Object.entries(choices);
  const query = Object.entries(choices).map(([label, each]) => `${label} : ${each}`);
  return {
    ...text,
    type: 'custom',
    query: query.join(', '),
    current: { text: first, value },
    includeAll: false,
    multi: false,
  };
}

/** Returns a variable for a data source, with the one that is provisioned chosen. */
export function renderSource(name: string, label: string, type: string, uid: string): object {
  return {
    name,
    label,
    type: 'datasource',
    query: type,
    current: { text: label, value: uid },
    includeAll: false,
    multi: false,
  };
}
