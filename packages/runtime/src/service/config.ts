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
import { checkRules, type ConfigRule, shownValue } from './config-rules.ts'
import { helpText } from './describe-options.ts'
import { readEnvironment, unknownName } from './environment.ts'
import { readFlags, type RawSetting } from './flags.ts'
import {
  type ConfigOf,
  environmentName,
  flagName,
  type OptionSpec,
  type OptionTable,
} from './option-table.ts'
import { expectedOf, parseOptionValue } from './option-value.ts'

export interface ConfigSource<Table extends OptionTable> {
  readonly service: string
  readonly options: Table
  /** What settings must keep between them; checked with everything else (C2). */
  readonly rules?: readonly ConfigRule<Table>[]
  /** Arguments after the script's name. */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** Reads the file named by --config or by a variable …_FILE; the default reads from disk. */
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
  const settings = gatherSettings(source, faults)
  const values: Record<string, unknown> = {}
  const faultyKeys = new Set<string>()
  for (const [key, spec] of Object.entries(source.options)) {
    const faultsBefore = faults.length
    const raw = settings.get(key)
    values[key] = raw?.isFaulty === true ? null : valueOf({ key, spec, raw }, faults)
    if (raw?.isFaulty === true || faults.length > faultsBefore) faultyKeys.add(key)
  }
  const config = values as ConfigOf<Table>
  checkRules({ rules: source.rules ?? [], config, settings, faultyKeys }, faults)
  if (faults.length > 0) throw new ConfigFault(source.service, faults)
  return config
}

/** What was written, by key; C1 decides where a key was written twice. */
function gatherSettings(
  source: Omit<ConfigSource<OptionTable>, 'rules'>,
  faults: SettingFault[],
): ReadonlyMap<string, RawSetting> {
  const { env, options, readFile = readText } = source
  const flags = readFlags(options, source.argv, faults)
  const environment = readEnvironment({ options, env, readFile }, faults)
  const path = flags.configPath ?? env['BLOCKFERRY_CONFIG']
  const noFile = path === undefined || path === ''
  const file = noFile ? new Map<string, RawSetting>() : readConfigFile({ options, readFile }, path, faults)
  return new Map([...file, ...environment, ...flags.settings])
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
  const name = raw?.name ?? flagName(key)
  faults.push({ name, value: raw?.shown ?? shownValue(value), unit, expected: parsed.expected })
  return null
}

interface FileSource {
  readonly options: OptionTable
  readonly readFile: (path: string) => string
}

function readConfigFile(
  source: FileSource,
  path: string,
  faults: SettingFault[],
): ReadonlyMap<string, RawSetting> {
  const settings = new Map<string, RawSetting>()
  const content = loadYaml(source, path, faults)
  const known = Object.keys(source.options)
  for (const [key, value] of Object.entries(content)) {
    const name = `${key} in ${path}`
    if (known.includes(key)) settings.set(key, { name, value })
    else faults.push({ ...unknownName(key, shownValue(value), known), name })
  }
  return settings
}

function loadYaml(
  source: FileSource,
  path: string,
  faults: SettingFault[],
): Readonly<Record<string, unknown>> {
  const expected = 'a readable YAML file that holds a map of settings'
  try {
    const content: unknown = parseYaml(source.readFile(path)) ?? {}
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
