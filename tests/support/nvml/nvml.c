/* A stand-in for libnvidia-ml.so.1: the calls that modelctl makes, answered from a text file.
 *
 * The file named by $MODELCTL_TEST_NVML is read again at each call, so a test changes GPUs while they are
 * watched. One statement per line; standin.py writes them:
 *
 *   device N KEY VALUE...        KEY: uuid, name, total, free, utilisation, temperature, milliwatts, slice_of,
 *                                memory_bits, memory_mhz
 *   process N PID USED PERCENT   a compute client of device N; USED in bytes, -1 for "not available"
 *   graphics N PID USED PERCENT  the same for a graphics client
 *   fail FUNCTION N CODE         FUNCTION answers CODE for device N; N = -1: for every device
 *   hang FUNCTION N 1            FUNCTION does not return while the line is in the file
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, NO_DRIVER = 9 };
enum { MEMORY_CLOCK = 2 };
enum { MAX_DEVICES = 16, MAX_PROCESSES = 64, TEXT = 256 };

struct device {
    int present, slice_of;
    char uuid[TEXT], name[TEXT];
    unsigned long long total, free;
    long utilisation, temperature, milliwatts, memory_bits, memory_mhz; /* -1: not supported */
};

struct process {
    int device, graphics;
    unsigned pid, percent;
    unsigned long long used;
};

struct machine {
    struct device devices[MAX_DEVICES];
    struct process processes[MAX_PROCESSES];
    int process_count, result;
};

struct process_info {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
};

struct utilisation_sample {
    unsigned pid;
    unsigned long long timestamp;
    unsigned sm, memory, encoder, decoder;
};

static void set(struct device *device, const char *key, const char *value) {
    device->present = 1;
    if (!strcmp(key, "uuid")) snprintf(device->uuid, TEXT, "%s", value);
    else if (!strcmp(key, "name")) snprintf(device->name, TEXT, "%s", value);
    else if (!strcmp(key, "total")) device->total = strtoull(value, NULL, 10);
    else if (!strcmp(key, "free")) device->free = strtoull(value, NULL, 10);
    else if (!strcmp(key, "utilisation")) device->utilisation = atol(value);
    else if (!strcmp(key, "temperature")) device->temperature = atol(value);
    else if (!strcmp(key, "milliwatts")) device->milliwatts = atol(value);
    else if (!strcmp(key, "memory_bits")) device->memory_bits = atol(value);
    else if (!strcmp(key, "memory_mhz")) device->memory_mhz = atol(value);
    else if (!strcmp(key, "slice_of")) device->slice_of = atoi(value);
}

static int hangs(const char *function, int asked) {
    char line[2 * TEXT], key[64];
    int at, found = 0;
    const char *path = getenv("MODELCTL_TEST_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "hang %63s %d", key, &at) == 2)
            found |= !strcmp(key, function) && (at == -1 || at == asked);
    if (file) fclose(file);
    return found;
}

/* Read the file; `result` becomes what `function` has to answer for `asked`. */
static struct machine look(const char *function, int asked) {
    struct machine machine;
    char line[2 * TEXT], key[64], value[TEXT];
    int at, code;
    struct process process;
    FILE *file;
    const char *path = getenv("MODELCTL_TEST_NVML");

    while (hangs(function, asked)) usleep(10000);
    file = path ? fopen(path, "r") : NULL;
    memset(&machine, 0, sizeof machine);
    for (at = 0; at < MAX_DEVICES; at++) {
        machine.devices[at].slice_of = -1;
        machine.devices[at].utilisation = machine.devices[at].temperature = machine.devices[at].milliwatts = -1;
        machine.devices[at].memory_bits = machine.devices[at].memory_mhz = -1;
    }
    if (!file) {
        machine.result = NO_DRIVER;
        return machine;
    }
    while (fgets(line, sizeof line, file)) {
        memset(&process, 0, sizeof process);
        if (sscanf(line, "device %d %63s %255[^\n]", &at, key, value) == 3 && at >= 0 && at < MAX_DEVICES) {
            set(&machine.devices[at], key, value);
        } else if (sscanf(line, "fail %63s %d %d", key, &at, &code) == 3) {
            if (!strcmp(key, function) && (at == -1 || at == asked)) machine.result = code;
        } else if (machine.process_count < MAX_PROCESSES) {
            process.graphics = !strncmp(line, "graphics ", 9);
            if (sscanf(line, "%63s %d %u %llu %u", key, &process.device, &process.pid, &process.used,
                       &process.percent) == 5)
                machine.processes[machine.process_count++] = process;
        }
    }
    fclose(file);
    return machine;
}

/* A handle is the address of device N in this array; nothing is ever read through it. */
static char handles[MAX_DEVICES];

static int number(void *handle) {
    return (int)((char *)handle - handles);
}

static struct machine look_at(const char *function, void *handle, struct device *device) {
    int asked = number(handle);
    struct machine machine = look(function, asked);
    memset(device, 0, sizeof *device);
    if (machine.result == SUCCESS) {
        if (asked >= 0 && asked < MAX_DEVICES && machine.devices[asked].present) *device = machine.devices[asked];
        else machine.result = INVALID_ARGUMENT;
    }
    return machine;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    return look(__func__, -2).result;
}

int nvmlShutdown(void) {
    return look(__func__, -2).result;
}

const char *nvmlErrorString(int result) {
    (void)result;
    return "an error of the stand-in";
}

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    snprintf(version, length, "560.35.03");
    return look(__func__, -2).result;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    struct machine machine = look("nvmlDeviceGetCount", -2);
    int at;
    *count = 0;
    for (at = 0; at < MAX_DEVICES; at++)
        *count += machine.devices[at].present && machine.devices[at].slice_of == -1;
    return machine.result;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    struct machine machine = look("nvmlDeviceGetHandleByIndex", (int)index);
    if (machine.result != SUCCESS) return machine.result;
    if (index >= MAX_DEVICES || !machine.devices[index].present) return INVALID_ARGUMENT;
    *handle = &handles[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *handle, char *text, unsigned length) {
    struct device device;
    struct machine machine = look_at(__func__, handle, &device);
    snprintf(text, length, "%s", device.uuid);
    return machine.result;
}

int nvmlDeviceGetName(void *handle, char *text, unsigned length) {
    struct device device;
    struct machine machine = look_at(__func__, handle, &device);
    snprintf(text, length, "%s", device.name);
    return machine.result;
}

int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long *total_free_used) {
    struct device device;
    struct machine machine = look_at(__func__, handle, &device);
    total_free_used[0] = device.total;
    total_free_used[1] = device.free;
    total_free_used[2] = device.total - device.free;
    return machine.result;
}

int nvmlDeviceGetUtilizationRates(void *handle, unsigned *gpu_memory) {
    struct device device;
    struct machine machine = look_at(__func__, handle, &device);
    if (machine.result == SUCCESS && device.utilisation < 0) return NOT_SUPPORTED;
    gpu_memory[0] = (unsigned)device.utilisation;
    gpu_memory[1] = 0;
    return machine.result;
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *degrees) {
    struct device device;
    struct machine machine = look_at(__func__, handle, &device);
    (void)sensor;
    if (machine.result == SUCCESS && device.temperature < 0) return NOT_SUPPORTED;
    *degrees = (unsigned)device.temperature;
    return machine.result;
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
    struct device device;
    struct machine machine = look_at(__func__, handle, &device);
    if (machine.result == SUCCESS && device.milliwatts < 0) return NOT_SUPPORTED;
    *milliwatts = (unsigned)device.milliwatts;
    return machine.result;
}

int nvmlDeviceGetMemoryBusWidth(void *handle, unsigned *bits) {
    struct device device;
    struct machine machine = look_at(__func__, handle, &device);
    if (machine.result == SUCCESS && device.memory_bits < 0) return NOT_SUPPORTED;
    *bits = (unsigned)device.memory_bits;
    return machine.result;
}

int nvmlDeviceGetMaxClockInfo(void *handle, int domain, unsigned *megahertz) {
    struct device device;
    struct machine machine = look_at(__func__, handle, &device);
    if (machine.result == SUCCESS && (domain != MEMORY_CLOCK || device.memory_mhz < 0)) return NOT_SUPPORTED;
    *megahertz = (unsigned)device.memory_mhz;
    return machine.result;
}

static int clients(const char *function, int graphics, void *handle, unsigned *count, struct process_info *found) {
    struct device device;
    struct machine machine = look_at(function, handle, &device);
    unsigned room = *count;
    int at;
    if (machine.result != SUCCESS) return machine.result;
    *count = 0;
    for (at = 0; at < machine.process_count; at++) {
        struct process *process = &machine.processes[at];
        if (process->device != number(handle) || process->graphics != graphics) continue;
        if (*count < room) {
            memset(&found[*count], 0, sizeof *found);
            found[*count].pid = process->pid;
            found[*count].used = process->used;
        }
        ++*count;
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, struct process_info *found) {
    return clients("nvmlDeviceGetComputeRunningProcesses", 0, handle, count, found);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned *count, struct process_info *found) {
    return clients("nvmlDeviceGetGraphicsRunningProcesses", 1, handle, count, found);
}

int nvmlDeviceGetProcessUtilization(void *handle, struct utilisation_sample *found, unsigned *count,
                                    unsigned long long since) {
    struct device device;
    struct machine machine = look_at(__func__, handle, &device);
    unsigned room = found ? *count : 0;
    int at;
    if (machine.result != SUCCESS) return machine.result;
    *count = 0;
    for (at = 0; at < machine.process_count; at++) {
        struct process *process = &machine.processes[at];
        if (process->device != number(handle) || process->percent == 0) continue;
        if (*count < room) {
            memset(&found[*count], 0, sizeof *found);
            found[*count].pid = process->pid;
            found[*count].timestamp = since + 1;
            found[*count].sm = process->percent;
        }
        ++*count;
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

static int is_partitioned(const struct machine *machine, int card) {
    int at;
    for (at = 0; at < MAX_DEVICES; at++)
        if (machine->devices[at].present && machine->devices[at].slice_of == card) return 1;
    return 0;
}

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    struct device device;
    struct machine machine = look_at(__func__, handle, &device);
    *current = *pending = (unsigned)is_partitioned(&machine, number(handle));
    return machine.result;
}

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) {
    struct device device;
    *count = MAX_DEVICES;
    return look_at(__func__, handle, &device).result;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **slice) {
    struct device device;
    struct machine machine = look_at(__func__, handle, &device);
    if (machine.result != SUCCESS) return machine.result;
    if (index >= MAX_DEVICES || machine.devices[index].slice_of != number(handle)) return NOT_FOUND;
    *slice = &handles[index];
    return SUCCESS;
}
