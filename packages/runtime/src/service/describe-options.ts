import { environmentName, flagName, type OptionTable } from './option-table.ts'
import { expectedOf } from './option-value.ts'

/** One setting, as documentation shows it. */
export interface OptionDescription {
  readonly key: string
  readonly flag: string
  readonly environment: string
  readonly expected: string
  /** Null: required. Empty: may be left out. */
  readonly default: string | null
  readonly unit: string
  readonly doc: string
}

/** The rows of docs/configuration.md for one table, in the table's order. */
export function describeOptions(options: OptionTable): readonly OptionDescription[] {
  return Object.entries(options).map(([key, spec]) => ({
    key,
    flag: flagName(key),
    environment: environmentName(key),
    expected: expectedOf(spec),
    default: defaultText(spec),
    unit: spec.unit ?? '',
    doc: spec.doc,
  }))
}

function defaultText(spec: OptionTable[string]): string | null {
  if (spec.default === undefined) return null
  if (spec.default === null) return ''
  if (spec.kind === 'list') return (spec.default ?? []).join(spec.separator ?? ',')
  return String(spec.default)
}

/** The text of `--help`. */
export function helpText(service: string, options: OptionTable): string {
  const rows = describeOptions(options).map((row) => {
    const fallback = row.default === null ? 'required' : row.default === '' ? 'optional' : row.default
    const unit = row.unit === '' ? '' : ` ${row.unit}`
    return `  ${row.flag}  (${row.environment})\n      ${row.doc}\n      ${row.expected}${unit}; ${
      row.default === null || row.default === '' ? fallback : `default ${fallback}`
    }`
  })
  return [
    `Usage: node services/${service}/src/main.ts [--config FILE] [settings]`,
    '',
    'A flag wins over an environment variable, that over the YAML file, that over the default.',
    'Each variable may be given as NAME_FILE instead: a file that holds the value.',
    'In the file the keys are written in camelCase: spoolBytesMax for --spool-bytes-max.',
    '',
    '  --config FILE  (BLOCKFERRY_CONFIG)\n      YAML file with settings; optional',
    ...rows,
    '  --help\n      Prints this text.',
    '',
  ].join('\n')
}
