import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from '@blockferry/runtime'
import { kafkaTemplates } from './kafka-templates.ts'

/** How a Kafka program is started. */
export interface JavaRuntime {
  readonly command: string
  readonly classPath: string
}

/** Arguments of a JVM that logs to standard output by the given log4j2 file. */
export function javaArguments(options: {
  readonly java: JavaRuntime
  readonly heapMiB: { readonly initial: number; readonly max: number }
  readonly log4j: string
  readonly main: string
  readonly args: readonly string[]
}): readonly string[] {
  const { java, heapMiB, log4j, main, args } = options
  return [
    `-Xms${heapMiB.initial}m`,
    `-Xmx${heapMiB.max}m`,
    // Small heaps with records of up to 8 MiB: G1 would keep each of them in humongous regions of its own.
    '-XX:+UseSerialGC',
    // The optimising compiler's threads take the two cores of a small machine from the services for minutes:
    // without them the brokers and the mirror use less of it, and the stream's tail delay halves.
    '-XX:TieredStopAtLevel=1',
    // K7: a JVM out of memory must end, not linger with FAILED tasks.
    '-XX:+ExitOnOutOfMemoryError',
    '-Djava.awt.headless=true',
    `-Dlog4j2.configurationFile=${join(kafkaTemplates, log4j)}`,
    '-cp',
    java.classPath,
    main,
    ...args,
  ]
}

/** Fills {{name}} in a template of deploy/kafka; a name without a value is a programmer error. */
export function fillTemplate(file: string, values: Readonly<Record<string, string | number>>): string {
  const template = readFileSync(join(kafkaTemplates, file), 'utf8')
  return template.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const value = values[name]
    assert(value !== undefined, `no value for {{${name}}} of ${file}`)
    return String(value)
  })
}
