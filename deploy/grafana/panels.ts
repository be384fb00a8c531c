/** Renders short descriptions of panels, annotations and variables in the form that Grafana 11 imports. */

interface PanelText {
  readonly title: string;
  readonly description: string;
  readonly width: number;
  readonly height: number;
}

interface SqlPanel extends PanelText {
  readonly type: 'stat' | 'table' | 'days' | 'stack';
  readonly sql: string;
  /** The unit of each numeric column: `share` is a ratio, `problems` a count that is highlighted above 0. */
  readonly columns: Readonly<Record<string, 'count' | 'bytes' | 'minutes' | 'share' | 'problems'>>;
}

interface PrometheusPanel extends PanelText {
  readonly type: 'line';
  readonly unit: 'short' | 's' | 'bytes' | 'reqps';
  /** Legend → expression. */
  readonly series: Readonly<Record<string, string>>;
}

export type PanelDescription = SqlPanel | PrometheusPanel;

const DATABASE = { type: 'grafana-postgresql-datasource', uid: '${database}' };
const PROMETHEUS = { type: 'prometheus', uid: '${prometheus}' };

const UNITS = { count: 'locale', bytes: 'decbytes', minutes: 'm', share: 'percentunit', problems: 'locale' };

/** The colors of standings. */
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

/** Red bars on the right axis, for values that are not stored. */
const RED_BARS = {
  'custom.drawStyle': 'bars',
  'custom.fillOpacity': 40,
  'custom.lineWidth': 0,
  'custom.axisPlacement': 'right',
  'custom.axisSoftMax': 5,
  color: { mode: 'fixed', fixedColor: 'red' },
};

function overridesOf({ type, columns }: SqlPanel): object[] {
  const units = Object.entries(columns).map(([name, unit]) => {
    const highlight =
      type === 'days' ? RED_BARS : { thresholds: ORANGE_ABOVE_ZERO, 'custom.cellOptions': { type: 'color-text' } };
    return byName(name, { unit: UNITS[unit], ...(unit === 'problems' ? highlight : {}) });
  });
  const colors = Object.entries(STANDINGS).map(([name, fixedColor]) =>
    byName(name, { color: { mode: 'fixed', fixedColor } }),
  );
  const standings = Object.entries(STANDINGS).map(([name, color], index) => [name, { color, index }] as const);
  const standingColumn = byName('Standing', {
    mappings: [{ type: 'value', options: Object.fromEntries(standings) }],
    'custom.cellOptions': { type: 'color-text' },
  });
  return [...units, ...(type === 'stack' ? colors : []), ...(type === 'table' ? [standingColumn] : [])];
}

/** Returns the style of a chart. No line connects the days on both sides of one that is not stored. */
function getChartStyle(isStacked: boolean): object {
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
  const type = panel.type === 'days' || panel.type === 'stack' ? 'timeseries' : panel.type;
  const isChart = type === 'timeseries';
  const options = {
    stat: {
      reduceOptions: { values: false, calcs: ['lastNotNull'], fields: '/.*/' },
      textMode: 'auto',
      colorMode: 'none',
    },
    table: { showHeader: true, cellHeight: 'sm', footer: { show: false, reducer: ['sum'], fields: '' } },
    timeseries: { legend: LEGEND, tooltip: { mode: 'multi', sort: 'none' } },
  };
  const custom = isChart
    ? getChartStyle(panel.type === 'stack')
    : { align: 'auto', filterable: panel.type === 'table' };
  return {
    type,
    datasource: DATABASE,
    fieldConfig: {
      defaults: { unit: 'locale', ...(panel.type === 'stat' ? { noValue: '–' } : { custom }) },
      overrides: overridesOf(panel),
    },
    options: options[type],
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
    fieldConfig: { defaults: { unit, custom: getChartStyle(false) }, overrides: [] },
    options: { legend: LEGEND, tooltip: { mode: 'multi', sort: 'desc' } },
    targets,
  };
}

/** Lays panels out from left to right, with a new line before one that does not fit. */
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

/** Renders an annotation, whose query returns `time`, `text` and `tags`. */
export function renderAnnotation(name: string, iconColor: string, sql: string): object {
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

/** Renders a variable whose query returns the values, as `__value` and `__text`. */
export function renderQueryVariable(text: VariableText, sql: string): object {
  return {
    ...text,
    type: 'query',
    datasource: DATABASE,
    query: sql,
    definition: sql,
    current: {},
    includeAll: false,
    multi: false,
    refresh: 1,
    sort: 0,
  };
}

/** Renders a variable for a data source, with the provisioned one selected. */
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
