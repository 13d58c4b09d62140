import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from '@blockferry/runtime'
import { fault } from '../faults.ts'
import { kafkaTemplates, repositoryRoot } from './repository.ts'

/** How a Kafka program is started. */
export interface JavaRuntime {
  readonly command: string
  readonly classPath: string
}

/** The part of deploy/kafka/resolve.mjs used here; plain JavaScript, because setup runs it on Node 20. */
interface JarResolver {
  resolveKafkaJars(options: {
    readonly root: string
    readonly log?: (line: string) => void
  }): Promise<{ readonly classpathDirectory: string }>
}

/** @throws KAFKA_MISSING */
export async function findJava(log: (line: string) => void): Promise<JavaRuntime> {
  const specifier: string = join(kafkaTemplates, 'resolve.mjs')
  const resolver = (await import(specifier)) as JarResolver
  try {
    const { classpathDirectory } = await resolver.resolveKafkaJars({ root: repositoryRoot, log })
    const home = process.env['JAVA_HOME']
    const command = home === undefined || home === '' ? 'java' : join(home, 'bin', 'java')
    return { command, classPath: join(classpathDirectory, '*') }
  } catch (cause) {
    throw fault('KAFKA_MISSING', cause instanceof Error ? cause.message : 'no Kafka jars', { cause })
  }
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
