// Asks an API server what controllers and tools ask one, with Kubernetes' own client library: typed and dynamic clients,
// informers, metadata, apply; in protobuf where the library speaks it.
//
//	clients KUBECONFIG
//
// Prints a line for each check, and ends with 1 if one fails.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/pager"
)

const protobuf = "application/vnd.kubernetes.protobuf"

// How long anything that is waited for may take.
const deadline = 30 * time.Second

type clients struct {
	typed    *kubernetes.Clientset // protobuf
	json     *kubernetes.Clientset
	dynamic  *dynamic.DynamicClient
	metadata metadata.Interface
	config   *rest.Config
}

var checks = []struct {
	name string
	run  func(context.Context, *clients) error
}{
	{"every kind is the same in protobuf and in JSON", sameInBoth},
	{"a typed client writes and reads in protobuf", typedWrites},
	{"a refusal in protobuf is understood", refusals},
	{"a dynamic client sees what a typed one wrote", dynamicReads},
	{"an informer over protobuf follows", informerFollows},
	{"a metadata informer over protobuf follows", metadataFollows},
	{"a watch over protobuf begins where a list ended", watchFromList},
	{"a pager sees every object once", pages},
	{"apply owns, conflicts and is forced", applies},
	{"an applied configuration is extracted from protobuf", extracts},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: clients KUBECONFIG")
		os.Exit(2)
	}
	all, err := connect(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	failed := false
	for _, check := range checks {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		err := check.run(ctx, all)
		cancel()
		if err != nil {
			failed = true
			fmt.Printf("FAILED  %s: %v\n", check.name, err)
			continue
		}
		fmt.Printf("ok      %s\n", check.name)
	}
	if failed {
		os.Exit(1)
	}
}

func connect(kubeconfig string) (*clients, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 1000, 1000
	json := rest.CopyConfig(config)
	// As controllers are configured: no JSON to fall back to, so that an answer in JSON is an error.
	config.ContentType, config.AcceptContentTypes = protobuf, protobuf
	all := &clients{config: config}
	if all.typed, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if all.json, err = kubernetes.NewForConfig(json); err != nil {
		return nil, err
	}
	if all.dynamic, err = dynamic.NewForConfig(json); err != nil {
		return nil, err
	}
	all.metadata, err = metadata.NewForConfig(metadata.ConfigFor(config))
	return all, err
}

// Every list that the scheme knows, through both typed clients.
func sameInBoth(ctx context.Context, all *clients) error {
	lists, err := all.json.Discovery().ServerPreferredResources()
	if err != nil {
		return err
	}
	compared := 0
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return err
		}
		for _, resource := range list.APIResources {
			kind := version.WithKind(resource.Kind + "List")
			if strings.Contains(resource.Name, "/") || !scheme.Scheme.Recognizes(kind) || !contains(resource.Verbs, "list") {
				continue
			}
			read := func(client rest.Interface) (runtime.Object, error) {
				into, err := scheme.Scheme.New(kind)
				if err != nil {
					return nil, err
				}
				prefix := "/apis/" + list.GroupVersion
				if version.Group == "" {
					prefix = "/api/" + version.Version
				}
				err = client.Get().AbsPath(prefix, resource.Name).Do(ctx).Into(into)
				return into, err
			}
			one, err := read(restOf(all.typed, version))
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			other, err := read(restOf(all.json, version))
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			if err := same(one, other); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			compared++
		}
	}
	if compared < 10 {
		return fmt.Errorf("only %d kinds were compared", compared)
	}
	return nil
}

// Lists are compared by their items: another object may be written between the two requests.
func same(one, other runtime.Object) error {
	ours, err := meta.ExtractList(one)
	if err != nil {
		return err
	}
	theirs, err := meta.ExtractList(other)
	if err != nil {
		return err
	}
	byName := map[types.NamespacedName]runtime.Object{}
	for _, object := range theirs {
		accessor, _ := meta.Accessor(object)
		byName[types.NamespacedName{Namespace: accessor.GetNamespace(), Name: accessor.GetName()}] = object
	}
	for _, object := range ours {
		accessor, _ := meta.Accessor(object)
		name := types.NamespacedName{Namespace: accessor.GetNamespace(), Name: accessor.GetName()}
		twin, found := byName[name]
		if !found {
			return fmt.Errorf("%s is not in both", name)
		}
		twinAccessor, _ := meta.Accessor(twin)
		if accessor.GetResourceVersion() == twinAccessor.GetResourceVersion() && !equality.Semantic.DeepEqual(object, twin) {
			return fmt.Errorf("%s differs:\n%+v\n%+v", name, object, twin)
		}
	}
	return nil
}

func restOf(client *kubernetes.Clientset, version schema.GroupVersion) rest.Interface {
	switch version.Group {
	case "":
		return client.CoreV1().RESTClient()
	case "apps":
		return client.AppsV1().RESTClient()
	default:
		// The path is absolute; any client of the set will do.
		return client.DiscoveryV1().RESTClient()
	}
}

func contains(list []string, wanted string) bool {
	for _, one := range list {
		if one == wanted {
			return true
		}
	}
	return false
}

func service(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"of": "clients"}},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": name},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("web")}, {Name: "dns", Protocol: "UDP", Port: 53, TargetPort: intstr.FromInt32(5353)}},
		},
	}
}

func typedWrites(ctx context.Context, all *clients) error {
	services := all.typed.CoreV1().Services("default")
	created, err := services.Create(ctx, service("typed"), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if created.Spec.ClusterIP == "" || created.Spec.Ports[0].TargetPort.StrVal != "web" || created.Spec.Ports[1].TargetPort.IntVal != 5353 {
		return fmt.Errorf("created %+v", created.Spec)
	}
	read, err := all.json.CoreV1().Services("default").Get(ctx, "typed", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !equality.Semantic.DeepEqual(created, read) {
		return fmt.Errorf("created %+v, read %+v", created, read)
	}
	created.Spec.Type = corev1.ServiceTypeNodePort
	updated, err := services.Update(ctx, created, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	if updated.Spec.Ports[0].NodePort == 0 {
		return fmt.Errorf("no node port: %+v", updated.Spec)
	}
	updated.Status.LoadBalancer.Ingress = nil
	updated.Status.Conditions = []metav1.Condition{{Type: "x", Status: metav1.ConditionTrue, Reason: "R", LastTransitionTime: metav1.Now()}}
	if updated, err = services.UpdateStatus(ctx, updated, metav1.UpdateOptions{}); err != nil || len(updated.Status.Conditions) != 1 {
		return fmt.Errorf("status %+v: %w", updated.Status, err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "typed"}, Data: map[string][]byte{"k": {0, 1, 0xff}}}
	if secret, err = all.typed.CoreV1().Secrets("default").Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return err
	}
	if string(secret.Data["k"]) != "\x00\x01\xff" {
		return fmt.Errorf("secret %v", secret.Data)
	}
	patch := []byte(`{"metadata":{"labels":{"patched":"yes"}}}`)
	patched, err := services.Patch(ctx, "typed", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil || patched.Labels["patched"] != "yes" {
		return fmt.Errorf("patched %+v: %w", patched, err)
	}
	return nil
}

func refusals(ctx context.Context, all *clients) error {
	_, err := all.typed.CoreV1().Services("default").Get(ctx, "nowhere", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("not a 404: %w", err)
	}
	bad := service("bad")
	bad.Spec.Ports[0].Port = 0
	_, err = all.typed.CoreV1().Services("default").Create(ctx, bad, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || len(err.(*apierrors.StatusError).ErrStatus.Details.Causes) != 1 {
		return fmt.Errorf("not invalid for one cause: %#v", err)
	}
	return nil
}

func dynamicReads(ctx context.Context, all *clients) error {
	services := all.dynamic.Resource(corev1.SchemeGroupVersion.WithResource("services")).Namespace("default")
	read, err := services.Get(ctx, "typed", metav1.GetOptions{})
	if err != nil {
		return err
	}
	kind, _, _ := unstructured.NestedString(read.Object, "spec", "type")
	if kind != "NodePort" {
		return fmt.Errorf("type %q", kind)
	}
	return nil
}

func informerFollows(ctx context.Context, all *clients) error {
	factory := informers.NewSharedInformerFactory(all.typed, 0)
	services, slices := factory.Core().V1().Services(), factory.Discovery().V1().EndpointSlices()
	services.Informer()
	slices.Informer()
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%s does not sync", kind)
		}
	}
	if _, err := all.typed.CoreV1().Services("default").Create(ctx, service("followed"), metav1.CreateOptions{}); err != nil {
		return err
	}
	ready := true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "followed", Labels: map[string]string{discoveryv1.LabelServiceName: "followed"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.1"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
	}
	if _, err := all.typed.DiscoveryV1().EndpointSlices("default").Create(ctx, slice, metav1.CreateOptions{}); err != nil {
		return err
	}
	err := until(ctx, "both are followed", func() bool {
		followed, err := services.Lister().Services("default").Get("followed")
		of, err2 := slices.Lister().EndpointSlices("default").Get("followed")
		return err == nil && err2 == nil && followed.Spec.ClusterIP != "" && *of.Endpoints[0].Conditions.Ready
	})
	if err != nil {
		return err
	}
	if err := all.typed.CoreV1().Services("default").Delete(ctx, "followed", metav1.DeleteOptions{}); err != nil {
		return err
	}
	return until(ctx, "the deletion is followed", func() bool {
		_, err := services.Lister().Services("default").Get("followed")
		return apierrors.IsNotFound(err)
	})
}

func metadataFollows(ctx context.Context, all *clients) error {
	resource := corev1.SchemeGroupVersion.WithResource("services")
	informer := metadatainformer.NewFilteredMetadataInformer(all.metadata, resource, "default", 0, cache.Indexers{}, nil).Informer()
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return fmt.Errorf("it does not sync")
	}
	if _, err := all.typed.CoreV1().Services("default").Create(ctx, service("meta"), metav1.CreateOptions{}); err != nil {
		return err
	}
	return until(ctx, "the metadata are there", func() bool {
		found, exists, err := informer.GetStore().GetByKey("default/meta")
		return err == nil && exists && found.(*metav1.PartialObjectMetadata).Labels["of"] == "clients"
	})
}

func watchFromList(ctx context.Context, all *clients) error {
	maps := all.typed.CoreV1().ConfigMaps("default")
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, name := range []string{"w1", "w2"} {
		if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	watching, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion, AllowWatchBookmarks: true})
	if err != nil {
		return err
	}
	defer watching.Stop()
	for _, want := range []string{"w1", "w2"} {
		event := <-watching.ResultChan()
		if event.Type != watch.Added || event.Object.(*corev1.ConfigMap).Name != want {
			return fmt.Errorf("%s %+v", event.Type, event.Object)
		}
	}
	gone, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: "1"})
	if err != nil {
		return expired(err)
	}
	defer gone.Stop()
	event := <-gone.ResultChan()
	if event.Type != watch.Error && event.Type != watch.Added {
		return fmt.Errorf("%s %+v", event.Type, event.Object)
	}
	return nil
}

// A version that is gone is refused at once or told as an event; both are read by every client.
func expired(err error) error {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return nil
	}
	return err
}

func pages(ctx context.Context, all *clients) error {
	maps := all.typed.CoreV1().ConfigMaps("default")
	for i := range 23 {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("page-%02d", i), Labels: map[string]string{"paged": "yes"}}}
		if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	list := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return maps.List(ctx, options)
	})
	list.PageSize = 5
	seen := map[string]bool{}
	err := list.EachListItem(ctx, metav1.ListOptions{LabelSelector: "paged=yes"}, func(object runtime.Object) error {
		name := object.(*corev1.ConfigMap).Name
		if seen[name] {
			return fmt.Errorf("%s twice", name)
		}
		seen[name] = true
		return nil
	})
	if err == nil && len(seen) != 23 {
		err = fmt.Errorf("%d of 23", len(seen))
	}
	return err
}

func applies(ctx context.Context, all *clients) error {
	maps := all.typed.CoreV1().ConfigMaps("default")
	ours := applycorev1.ConfigMap("applied", "default").WithData(map[string]string{"a": "1", "b": "1"})
	if _, err := maps.Apply(ctx, ours, metav1.ApplyOptions{FieldManager: "ours"}); err != nil {
		return err
	}
	theirs := applycorev1.ConfigMap("applied", "default").WithData(map[string]string{"b": "2"})
	_, err := maps.Apply(ctx, theirs, metav1.ApplyOptions{FieldManager: "theirs"})
	if !apierrors.IsConflict(err) {
		return fmt.Errorf("no conflict: %w", err)
	}
	if _, err = maps.Apply(ctx, theirs, metav1.ApplyOptions{FieldManager: "theirs", Force: true}); err != nil {
		return err
	}
	ours = applycorev1.ConfigMap("applied", "default").WithData(map[string]string{})
	left, err := maps.Apply(ctx, ours, metav1.ApplyOptions{FieldManager: "ours"})
	if err != nil {
		return err
	}
	if want := map[string]string{"b": "2"}; !reflect.DeepEqual(left.Data, want) {
		return fmt.Errorf("left %v", left.Data)
	}
	return nil
}

func extracts(ctx context.Context, all *clients) error {
	read, err := all.typed.CoreV1().ConfigMaps("default").Get(ctx, "applied", metav1.GetOptions{})
	if err != nil {
		return err
	}
	extracted, err := applycorev1.ExtractConfigMap(read, "theirs")
	if err != nil {
		return err
	}
	if extracted.Data["b"] != "2" {
		return fmt.Errorf("extracted %v", extracted.Data)
	}
	return nil
}

func until(ctx context.Context, what string, condition func() bool) error {
	for !condition() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("never: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
