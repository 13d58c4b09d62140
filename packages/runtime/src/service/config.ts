/*
 * Configuration is read once, at start. Invariants:
 *
 * C1  A flag wins over the environment, the environment over the file, the file over the default.
 *     A variable that is empty counts as not there: a compose file cannot leave one out.
 * C2  Every fault is reported at once: nobody starts a service five times to find five typing errors.
 * C3  An unknown name is a fault, in flags, in the file and in variables that begin with BLOCKFERRY_.
 *     A process gets its own environment: what one service does not know is a mistake even if another
 *     would. `sharedEnvironment` lists the few names that are meant for no service in particular.
 */
import { readFileSync } from 'node:fs'
import { parse as parseYaml } from 'yaml'
import { ConfigFault, HelpRequested, type SettingFault } from './config-fault.ts'
import { helpText } from './describe-options.ts'
import { readFlags, type RawSetting } from './flags.ts'
import {
  type ConfigOf,
  environmentName,
  flagName,
  type OptionSpec,
  type OptionTable,
} from './option-table.ts'
import { expectedOf, parseOptionValue } from './option-value.ts'

/** Variables of the command line tool, the test runs and the lifecycle, which services leave alone (C3). */
export const sharedEnvironment: readonly string[] = [
  'BLOCKFERRY_CONFIG',
  'BLOCKFERRY_APPLIER_URL',
  'BLOCKFERRY_TAP_AGENT_URL',
  'BLOCKFERRY_TEST_COUNTS',
  'BLOCKFERRY_EXIT_WITH_STDIN',
]

export interface ConfigSource<Table extends OptionTable> {
  readonly service: string
  readonly options: Table
  /** Arguments after the script's name. */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** Reads the file named by --config; the default reads from disk. */
  readonly readFile?: (path: string) => string
}

/**
 * Reads flags, environment and YAML file by one table.
 * @throws ConfigFault (CONFIG_INVALID) listing every fault; HelpRequested for `--help`.
 */
export function parseConfig<const Table extends OptionTable>(source: ConfigSource<Table>): ConfigOf<Table> {
  if (source.argv.includes('--help') || source.argv.includes('-h')) {
    throw new HelpRequested(helpText(source.service, source.options))
  }
  const faults: SettingFault[] = []
  const flags = readFlags(source.options, source.argv, faults)
  const environment = readEnvironment(source, faults)
  const path = flags.configPath ?? source.env['BLOCKFERRY_CONFIG']
  const file = path === undefined ? new Map<string, RawSetting>() : readConfigFile(source, path, faults)
  const values: Record<string, unknown> = {}
  for (const [key, spec] of Object.entries(source.options)) {
    const raw = flags.settings.get(key) ?? environment.get(key) ?? file.get(key)
    values[key] = valueOf({ key, spec, raw }, faults)
  }
  if (faults.length > 0) throw new ConfigFault(source.service, faults)
  return values as ConfigOf<Table>
}

function valueOf(
  setting: { readonly key: string; readonly spec: OptionSpec; readonly raw: RawSetting | undefined },
  faults: SettingFault[],
): unknown {
  const { key, spec, raw } = setting
  const unit = spec.unit ?? null
  if (raw === undefined && spec.default === undefined) {
    const name = `${flagName(key)} (${environmentName(key)})`
    faults.push({ name, value: null, unit, expected: expectedOf(spec) })
    return null
  }
  if (raw === undefined && (spec.default === null || spec.kind !== 'address')) return spec.default
  const value = raw === undefined ? spec.default : raw.value
  const parsed = parseOptionValue(spec, value)
  if (parsed.ok) return parsed.value
  faults.push({ name: raw?.name ?? flagName(key), value: shown(value), unit, expected: parsed.expected })
  return null
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'null')
}

function readEnvironment(
  source: ConfigSource<OptionTable>,
  faults: SettingFault[],
): ReadonlyMap<string, RawSetting> {
  const keys = new Map(Object.keys(source.options).map((key) => [environmentName(key), key]))
  const settings = new Map<string, RawSetting>()
  for (const [name, value] of Object.entries(source.env)) {
    if (value === undefined || value === '' || !name.startsWith('BLOCKFERRY_')) continue
    const key = keys.get(name)
    if (key !== undefined) settings.set(key, { name, value })
    else if (!sharedEnvironment.includes(name)) faults.push(unknownName(name, value, [...keys.keys()]))
  }
  return settings
}

function readConfigFile(
  source: ConfigSource<OptionTable>,
  path: string,
  faults: SettingFault[],
): ReadonlyMap<string, RawSetting> {
  const settings = new Map<string, RawSetting>()
  const content = loadYaml(source, path, faults)
  const known = Object.keys(source.options)
  for (const [key, value] of Object.entries(content)) {
    const name = `${key} in ${path}`
    if (known.includes(key)) settings.set(key, { name, value })
    else faults.push({ ...unknownName(key, shown(value), known), name })
  }
  return settings
}

function loadYaml(
  source: ConfigSource<OptionTable>,
  path: string,
  faults: SettingFault[],
): Readonly<Record<string, unknown>> {
  const expected = 'a readable YAML file that holds a map of settings'
  try {
    const content: unknown = parseYaml((source.readFile ?? readText)(path)) ?? {}
    if (typeof content === 'object' && !Array.isArray(content)) return content as Record<string, unknown>
    faults.push({ name: '--config', value: path, unit: null, expected })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    faults.push({ name: '--config', value: path, unit: null, expected: `${expected} (${reason})` })
  }
  return {}
}

function readText(path: string): string {
  return readFileSync(path, 'utf8')
}

function unknownName(name: string, value: string, known: readonly string[]): SettingFault {
  return { name, value, unit: null, expected: `a known setting: one of ${known.join(', ')}` }
}
