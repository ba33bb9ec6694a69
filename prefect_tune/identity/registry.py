"""Parameters of scikit-learn's estimators that cannot change a result, by exact class.

Rule 1: listed by exact class and tested per version; outside the tested versions nothing is ignored, and
users' classes and subclasses never have any.
Rule 2: `n_jobs` is neutral only because the tasks pin threads and set the number of jobs themselves. Left
out even so are the classes that sum per job (bagging, LDA, dictionary learning) or cut matrix products by
job (neighbours, kernels): there the number of jobs moves the last bits.
Rule 3: `memory` is neutral only because it is stripped before a fit: joblib's own cache serves results of
edited code.
Rule 4: `copy` and its kin are never listed: without a copy the input is overwritten, and inputs are shared.
`BernoulliRBM(verbose=)` is not either: printing its likelihood draws from the random state.
"""

from __future__ import annotations

from functools import lru_cache

from prefect_tune.identity.distributions import environment_versions, home_of

TESTED = ((1, 8), (1, 10))  # first version inside, last one outside

_VERBOSE = """
    cluster._affinity_propagation.AffinityPropagation cluster._bisect_k_means.BisectingKMeans
    cluster._kmeans.KMeans cluster._kmeans.MiniBatchKMeans cluster._spectral.SpectralClustering
    compose._column_transformer.ColumnTransformer covariance._graph_lasso.GraphicalLasso
    covariance._graph_lasso.GraphicalLassoCV decomposition._dict_learning.DictionaryLearning
    decomposition._dict_learning.MiniBatchDictionaryLearning decomposition._lda.LatentDirichletAllocation
    decomposition._nmf.MiniBatchNMF decomposition._nmf.NMF decomposition._sparse_pca.MiniBatchSparsePCA
    decomposition._sparse_pca.SparsePCA ensemble._bagging.BaggingClassifier ensemble._bagging.BaggingRegressor
    ensemble._forest.ExtraTreesClassifier ensemble._forest.ExtraTreesRegressor
    ensemble._forest.RandomForestClassifier ensemble._forest.RandomForestRegressor
    ensemble._forest.RandomTreesEmbedding ensemble._gb.GradientBoostingClassifier
    ensemble._gb.GradientBoostingRegressor
    ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier
    ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor
    ensemble._iforest.IsolationForest ensemble._stacking.StackingClassifier
    ensemble._stacking.StackingRegressor ensemble._voting.VotingClassifier ensemble._voting.VotingRegressor
    feature_selection._rfe.RFE feature_selection._rfe.RFECV linear_model._bayes.ARDRegression
    linear_model._bayes.BayesianRidge linear_model._coordinate_descent.ElasticNetCV
    linear_model._coordinate_descent.LassoCV linear_model._coordinate_descent.MultiTaskElasticNetCV
    linear_model._coordinate_descent.MultiTaskLassoCV linear_model._glm.glm.GammaRegressor
    linear_model._glm.glm.PoissonRegressor linear_model._glm.glm.TweedieRegressor
    linear_model._least_angle.Lars linear_model._least_angle.LarsCV linear_model._least_angle.LassoLars
    linear_model._least_angle.LassoLarsCV linear_model._least_angle.LassoLarsIC
    linear_model._logistic.LogisticRegression linear_model._logistic.LogisticRegressionCV
    linear_model._omp.OrthogonalMatchingPursuitCV linear_model._passive_aggressive.PassiveAggressiveClassifier
    linear_model._passive_aggressive.PassiveAggressiveRegressor linear_model._perceptron.Perceptron
    linear_model._stochastic_gradient.SGDClassifier linear_model._stochastic_gradient.SGDOneClassSVM
    linear_model._stochastic_gradient.SGDRegressor linear_model._theil_sen.TheilSenRegressor
    manifold._mds.MDS manifold._t_sne.TSNE mixture._bayesian_mixture.BayesianGaussianMixture
    mixture._gaussian_mixture.GaussianMixture model_selection._search.GridSearchCV
    model_selection._search.RandomizedSearchCV multiclass.OneVsRestClassifier multioutput.ClassifierChain
    multioutput.RegressorChain neighbors._nca.NeighborhoodComponentsAnalysis
    neural_network._multilayer_perceptron.MLPClassifier neural_network._multilayer_perceptron.MLPRegressor
    pipeline.FeatureUnion pipeline.Pipeline semi_supervised._self_training.SelfTrainingClassifier
    svm._classes.LinearSVC svm._classes.LinearSVR svm._classes.NuSVC svm._classes.NuSVR
    svm._classes.OneClassSVM svm._classes.SVC svm._classes.SVR
"""
_N_JOBS = """
    calibration.CalibratedClassifierCV compose._column_transformer.ColumnTransformer
    ensemble._forest.ExtraTreesClassifier ensemble._forest.ExtraTreesRegressor
    ensemble._forest.RandomForestClassifier ensemble._forest.RandomForestRegressor
    ensemble._forest.RandomTreesEmbedding ensemble._stacking.StackingClassifier
    ensemble._stacking.StackingRegressor ensemble._voting.VotingClassifier ensemble._voting.VotingRegressor
    feature_selection._rfe.RFECV feature_selection._sequential.SequentialFeatureSelector
    gaussian_process._gpc.GaussianProcessClassifier linear_model._base.LinearRegression
    linear_model._coordinate_descent.ElasticNetCV linear_model._coordinate_descent.LassoCV
    linear_model._coordinate_descent.MultiTaskElasticNetCV linear_model._coordinate_descent.MultiTaskLassoCV
    linear_model._logistic.LogisticRegression linear_model._logistic.LogisticRegressionCV
    linear_model._passive_aggressive.PassiveAggressiveClassifier linear_model._perceptron.Perceptron
    linear_model._stochastic_gradient.SGDClassifier
    model_selection._classification_threshold.TunedThresholdClassifierCV
    model_selection._search.GridSearchCV model_selection._search.RandomizedSearchCV
    multiclass.OneVsOneClassifier multiclass.OneVsRestClassifier multiclass.OutputCodeClassifier
    multioutput.MultiOutputClassifier multioutput.MultiOutputRegressor pipeline.FeatureUnion
"""
_CACHE_SIZE = (
    "svm._classes.NuSVC svm._classes.NuSVR svm._classes.OneClassSVM svm._classes.SVC svm._classes.SVR"
)
_MEMORY = """
    cluster._agglomerative.AgglomerativeClustering cluster._agglomerative.FeatureAgglomeration
    pipeline.Pipeline
"""
_PRE_DISPATCH = "model_selection._search.GridSearchCV model_selection._search.RandomizedSearchCV"

# parameter -> classes, below `sklearn.`
TABLE: dict[str, frozenset[str]] = {
    "verbose": frozenset(_VERBOSE.split()),
    "n_jobs": frozenset(_N_JOBS.split()),
    "cache_size": frozenset(_CACHE_SIZE.split()),
    "memory": frozenset(_MEMORY.split()),
    "pre_dispatch": frozenset(_PRE_DISPATCH.split()),
}


def is_sklearn(cls: type) -> bool:
    """Whether a class comes from the installed scikit-learn."""
    home = home_of(cls.__module__)
    return home is not None and home[1] == "scikit-learn"


@lru_cache(maxsize=1)
def _is_tested() -> bool:
    parts = environment_versions()["scikit-learn"].split(".")[:2]
    return (
        len(parts) == 2
        and all(p.isdigit() for p in parts)
        and TESTED[0] <= tuple(map(int, parts)) < TESTED[1]
    )


def ignorable(cls: type) -> frozenset[str]:
    """Names of the parameters of exactly this class that cannot change a result."""
    if not cls.__module__.startswith("sklearn.") or not _is_tested() or not is_sklearn(cls):
        return frozenset()
    name = f"{cls.__module__.removeprefix('sklearn.')}.{cls.__qualname__}"
    return frozenset(parameter for parameter, classes in TABLE.items() if name in classes)
