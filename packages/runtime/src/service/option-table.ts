/*
 * One table per service holds key, kind, default, unit, range and text of every setting. It is the only
 * place they are written: parsing, --help and docs/configuration.md are all made from it.
 */

interface OptionText {
  /** One sentence for --help and docs/configuration.md. */
  readonly doc: string
  /** As it is spoken: `ms`, `bytes`, `records`. Integers in `bytes` also accept 4KiB, 16MiB, 1GiB, 1G. */
  readonly unit?: string
}

/** `default` absent: the setting is required. `default: null`: it may be left out and is then null. */
export type OptionSpec = OptionText &
  (
    | {
        readonly kind: 'string'
        readonly default?: string | null
        readonly pattern?: RegExp
        readonly expected?: string
      }
    | {
        readonly kind: 'integer'
        readonly default?: number | null
        readonly min?: number
        readonly max?: number
      }
    | { readonly kind: 'boolean'; readonly default?: boolean | null }
    | { readonly kind: 'enum'; readonly values: readonly string[]; readonly default?: string | null }
    /** HOST:PORT, [IPV6]:PORT; port 0 lets the system choose one. */
    | { readonly kind: 'address'; readonly default?: string | null }
    /** Items separated by `separator` (default a comma) in flags and environment; an array in YAML. */
    | {
        readonly kind: 'list'
        readonly default?: readonly string[] | null
        readonly separator?: string
        readonly pattern?: RegExp
        readonly expected?: string
        readonly itemsMin?: number
        readonly itemsMax?: number
      }
  )

export type OptionTable = Readonly<Record<string, OptionSpec>>

export interface Address {
  readonly host: string
  readonly port: number
}

/** Whether two listeners want one port; port 0 is chosen by the system, a port of its own each time. */
export function listensTwice(one: Address, other: Address): boolean {
  return one.port !== 0 && one.port === other.port
}

type ValueOf<Spec> = Spec extends { readonly kind: 'integer' }
  ? number
  : Spec extends { readonly kind: 'boolean' }
    ? boolean
    : Spec extends { readonly kind: 'list' }
      ? readonly string[]
      : Spec extends { readonly kind: 'address' }
        ? Address
        : Spec extends { readonly kind: 'enum'; readonly values: readonly (infer Value)[] }
          ? Value
          : string

type NullOf<Spec> = Spec extends { readonly default: null } ? null : never

/** The typed configuration that a table parses to. */
export type ConfigOf<Table extends OptionTable> = {
  readonly [Key in keyof Table]: ValueOf<Table[Key]> | NullOf<Table[Key]>
}

/** Keeps the literal types of a table, so that `ConfigOf<typeof options>` is exact. */
export function defineOptions<const Table extends OptionTable>(options: Table): Table {
  return options
}

/** spoolBytesMax → BLOCKFERRY_SPOOL_BYTES_MAX */
export function environmentName(key: string): string {
  return `BLOCKFERRY_${key.replaceAll(/([A-Z])/g, '_$1').toUpperCase()}`
}

/** spoolBytesMax → --spool-bytes-max */
export function flagName(key: string): string {
  return `--${key.replaceAll(/([A-Z])/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** For services with a state directory, and for those only. */
export const waitForRepairOption = {
  kind: 'boolean',
  default: false,
  doc: 'Whether a state directory that cannot be used (rights, space, in use) is waited for: unready, saying why. If not, the process ends with status 1. The images wait.',
} as const satisfies OptionSpec

/** Settings every service has; spread them into its own table. */
export const commonOptions = defineOptions({
  logLevel: {
    kind: 'enum',
    values: ['trace', 'debug', 'info', 'warn', 'error', 'fatal'],
    default: 'info',
    doc: 'Least severe log line that is written.',
  },
})
